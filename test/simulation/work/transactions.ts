/** Transactions of every form, whatever they do at which participants; retries, late copies, aborts by id. */

import type { Attempt } from '../../../services/kernel/attempt.ts';
import type { BranchId } from '../../../services/kernel/messages.ts';
import { COORDINATOR } from '../../../services/runtime/cluster/view.ts';
import { keyOf, nameOf, type Content } from '../history.ts';
import { coordinatorPartition } from '../world/cluster.ts';
import type { Answer, AnyTypes, Build } from '../world/commands.ts';
import { CALL_TIMEOUT_MS, COMMIT_TIMEOUT_MS, type Actor } from './actor.ts';
import type { Step, Target } from './step.ts';

const SETTLE_TRIES = 40;

type Settle = (answer: Answer) => boolean;

export class Transactions {
  private readonly actor: Actor;
  private readonly begun: Content[] = [];

  constructor(actor: Actor) {
    this.actor = actor;
  }

  /** Notes what a transaction is going to do. */
  begin(content: Content): Content {
    const { actor } = this;
    this.begun.push(content);
    const { id, variant, kind, writes, reads } = content;
    actor.history.contents.set(keyOf(id, variant), content);
    const [written, read] = [writes.map(({ place }) => nameOf(place)), reads.map(({ place, version }) => `${nameOf(place)}@${version}`)];
    actor.say(`begins ${kind} ${keyOf(id, variant)}, writing ${written.join(' ') || 'nothing'}${read.length > 0 ? `, having read ${read.join(' ')}` : ''}`);
    return content;
  }

  // One-shot

  /** @param other makes other content for the same id, for a client that is careless; and its steps */
  async execute(content: Content, steps: readonly Step[], other?: () => { content: Content; steps: readonly Step[] }): Promise<boolean> {
    const { actor } = this;
    const { random, profile } = actor;
    const { id, variant } = content;
    const partition = coordinatorPartition(id);
    const build = this.buildExecute(content, steps);
    this.copyLate(COORDINATOR, partition, build, (answer) => this.settle(id, variant, answer));
    if (random.chance(profile.abortRace)) void this.abortLater(id);
    if (other !== undefined && random.chance(profile.otherContent)) void this.executeOther(id, other);
    const settled = await this.executing(id, variant, build, profile.retries);
    if (!settled && random.chance(0.5)) await this.abandon(id);
    return settled;
  }

  private executing(id: string, variant: number, build: Build, tries: number): Promise<boolean> {
    const { actor } = this;
    return actor.retrying(tries, async () => {
      const answer = await actor.call(COORDINATOR, coordinatorPartition(id), build, COMMIT_TIMEOUT_MS);
      return this.settle(id, variant, answer);
    });
  }

  private buildExecute({ id, variant }: Content, steps: readonly Step[]): Build {
    const groups = new Map<string, Step[]>();
    for (const step of steps) {
      const key = `${step.participant}/${step.partition}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [step]);
      else group.push(step);
    }
    const branches = [...groups.values()].map((group) => ({
      participant: group[0]!.participant,
      partition: group[0]!.partition,
      readOnly: group.every(({ readOnly }) => readOnly),
      operations: group.map(({ operation }) => operation),
    }));
    const firstTryMs = this.actor.wallMs;
    return (nowMs, origin) => ({
      type: 'execute',
      origin,
      transactionId: id,
      fingerprint: `content ${variant}`,
      mode: 'two-phase-commit',
      branches,
      firstTryMs,
      deadlineMs: nowMs + this.actor.profile.transactionTimeoutMs,
    });
  }

  /** A careless client uses the id again for something else. */
  private async executeOther(id: string, other: () => { content: Content; steps: readonly Step[] }): Promise<void> {
    const { actor } = this;
    await actor.sleep(actor.random.between(0, 2000));
    const { content, steps } = other();
    const build = this.buildExecute(content, steps);
    actor.count('ids used for two contents');
    await this.executing(id, content.variant, build, 2);
  }

  // Local

  /** One partition, no coordinator. */
  local(content: Content, step: Step): Promise<boolean> {
    const operations = this.actor.client.decode(step.participant, [step.operation]);
    return this.runLocal(content.id, step, operations, (answer) => this.settleLocal(content, answer));
  }

  /** @param settle whether the answer tells the outcome */
  runLocal(id: string, { participant, partition }: Target, operations: readonly AnyTypes['operation'][], settle: Settle): Promise<boolean> {
    const { actor } = this;
    const firstTryMs = actor.wallMs;
    const build: Build = (nowMs, origin) => ({
      type: 'local',
      origin,
      transactionId: id,
      fingerprint: 'content 0',
      operations,
      firstTryMs,
      deadlineMs: nowMs + CALL_TIMEOUT_MS,
    });
    this.copyLate(participant, partition, build, settle);
    return actor.retrying(3, async () => settle(await actor.call(participant, partition, build, CALL_TIMEOUT_MS)));
  }

  // Interactive

  /** Begins, has every participant take its work, and commits after `pause`. */
  async interactive(id: string, steps: readonly Step[], pause: () => Promise<void>): Promise<boolean> {
    const attempt = await this.beginInteractive(id);
    if (attempt === undefined) return false;
    for (const step of steps) if (!(await this.work(id, attempt, step))) return this.abandon(id);
    await pause();
    return this.commit(id, attempt);
  }

  /** The attempt that work is to be sent under; undefined if there is none to be had. */
  async beginInteractive(id: string): Promise<Attempt | undefined> {
    const { actor } = this;
    const firstTryMs = actor.wallMs;
    const build: Build = (nowMs, origin) => ({
      type: 'begin',
      origin,
      transactionId: id,
      mode: 'two-phase-commit',
      firstTryMs,
      deadlineMs: nowMs + 4 * COMMIT_TIMEOUT_MS,
    });
    const begun = await actor.call(COORDINATOR, coordinatorPartition(id), build, CALL_TIMEOUT_MS);
    return begun.type === 'begun' ? begun.attempt : undefined;
  }

  /** Whether the participant has taken the work. */
  async work(id: string, attempt: Attempt, { participant, partition, operation }: Step): Promise<boolean> {
    const { actor } = this;
    const operations = actor.client.decode(participant, [operation]);
    const build: Build = (nowMs, origin) => ({
      type: 'work',
      origin,
      branch: branchOf(id, attempt, participant, partition),
      operations,
      deadlineMs: nowMs + CALL_TIMEOUT_MS,
    });
    const answer = await actor.call(participant, partition, build, CALL_TIMEOUT_MS, { single: true });
    return answer.type === 'done';
  }

  async commit(id: string, attempt: Attempt): Promise<boolean> {
    const { actor } = this;
    actor.count('asked for an interactive commit');
    return actor.retrying(4, async () => {
      const build: Build = (_, origin) => ({ type: 'commit', origin, transactionId: id, attempt });
      const answer = await actor.call(COORDINATOR, coordinatorPartition(id), build, COMMIT_TIMEOUT_MS);
      return this.settle(id, 0, answer);
    });
  }

  // Ends

  private async abortLater(id: string): Promise<void> {
    await this.actor.sleep(this.actor.random.between(0, 200));
    await this.abandon(id);
  }

  /** Settles an id by abort: whether that has told its outcome. */
  async abandon(id: string): Promise<boolean> {
    const build: Build = (_, origin) => ({ type: 'abort', origin, transactionId: id });
    const answer = await this.actor.call(COORDINATOR, coordinatorPartition(id), build, CALL_TIMEOUT_MS);
    return this.settle(id, undefined, answer);
  }

  /** When the faults have ended: finds out how everything ended that its client has not heard of. */
  async settleAll(): Promise<void> {
    const { history } = this.actor;
    const told = new Set(history.told.map(({ id }) => id));
    for (const { id, kind } of this.begun) {
      if (kind !== 'local' && !told.has(id)) await this.actor.retrying(SETTLE_TRIES, () => this.abandon(id));
    }
  }

  /** The same request arrives again, long after. What it is told is an outcome like any other. */
  private copyLate(service: string, partition: number, build: Build, settle: Settle): void {
    if (this.actor.random.chance(this.actor.profile.lateCopy)) void this.copy(service, partition, build, settle);
  }

  private async copy(service: string, partition: number, build: Build, settle: Settle): Promise<void> {
    const { actor } = this;
    await actor.sleep(actor.random.between(0, actor.profile.lateCopyMs));
    actor.count('late copies');
    settle(await actor.call(service, partition, build, COMMIT_TIMEOUT_MS));
  }

  /** True if the outcome is known, or will not be from asking again. */
  private settle(id: string, variant: number | undefined, answer: Answer): boolean {
    const { actor } = this;
    if (answer.type === 'failure') {
      actor.count(`failure ${answer.failure.reason}`);
      return ['TRANSACTION_EXPIRED', 'TRANSACTION_ID_REUSED', 'WRONG_ATTEMPT', 'TRANSACTION_NOT_FOUND'].includes(answer.failure.reason);
    }
    if (answer.type !== 'transaction') return false;
    const { state, attempt, cause } = answer.transaction;
    actor.say(`${keyOf(id, variant ?? 0)} was told ${state}${attempt === undefined ? '' : ` at attempt ${attempt.epoch}-${attempt.counter}`}${cause === undefined ? '' : ` (${cause.reason})`}`);
    if (state === 'COMMITTED' || state === 'COMMITTING') {
      actor.count('told committed');
      actor.history.settle(id, variant, 'committed', actor.nowMs);
      return true;
    }
    if (state !== 'ABORTED') return false;
    actor.count('told aborted');
    actor.history.settle(id, variant, 'aborted', actor.nowMs);
    return true;
  }

  private settleLocal({ id }: Content, answer: Answer): boolean {
    const { actor } = this;
    if (answer.type === 'done') {
      actor.say(`${id} was told done at revision ${answer.revision}`);
      actor.count('told committed locally');
      actor.history.settle(id, 0, 'committed', actor.nowMs);
      return true;
    }
    if (answer.type !== 'failure') return false;
    const { reason } = answer.failure;
    if (['PRECONDITION_FAILED', 'LOCK_CONFLICT', 'LOCK_TIMEOUT'].includes(reason)) {
      actor.say(`${id} was refused: ${reason}`);
      actor.count('told refused locally');
      actor.history.settle(id, 0, 'aborted', actor.nowMs);
      return true;
    }
    return reason === 'TRANSACTION_EXPIRED';
  }
}

export function branchOf(transactionId: string, attempt: Attempt, participant: string, partition: number): BranchId {
  return { transactionId, attempt, coordinatorPartition: coordinatorPartition(transactionId), participant, partition };
}
