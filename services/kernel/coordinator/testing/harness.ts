/** For tests: a coordinator kernel. */

import type { Attempt } from '../../attempt.ts';
import type { Failure } from '../../failure.ts';
import type { BranchId, ToCoordinator, ToParticipant } from '../../messages.ts';
import { idAt, KernelHarness } from '../../testing/harness.ts';
import type { CoordinatorBug } from '../bugs.ts';
import { CoordinatorKernel } from '../kernel.ts';
import type { BranchRequest, Command, CoordinatorSettings, Message, Reply, Stored, TransactionEvent } from '../types.ts';

export { idAt };

/** 2026-01-01. */
export const START_MS = 1_767_225_600_000;

export function branch(participant: string, partition = 0, readOnly = false): BranchRequest {
  return { participant, partition, readOnly, operations: [{ typeUrl: 'test', value: new Uint8Array(1) }] };
}

type Distributive<T> = T extends { readonly origin: unknown } ? Omit<T, 'origin'> & { readonly origin?: unknown } : T;
/** A command whose origin may be left out. */
export type Request = Distributive<Command>;

export class Harness extends KernelHarness<Command, Stored, Reply, Message, { readonly kernel: CoordinatorKernel }> {
  readonly events: TransactionEvent[] = [];
  sent: Message[] = [];
  private readonly settings: CoordinatorSettings;
  private readonly bugs: ReadonlySet<CoordinatorBug>;

  /** @param store what an earlier leader has stored */
  constructor(settings: Partial<CoordinatorSettings> = {}, bugs: readonly CoordinatorBug[] = [], store: ReadonlyMap<string, Stored> = new Map()) {
    super(START_MS, { copy: (_, record) => structuredClone(record) });
    this.settings = { partition: 3, ...settings };
    this.bugs = new Set(bugs);
    for (const [key, record] of store) this.store.set(key, record);
    this.restart();
  }

  protected build(): { kernel: CoordinatorKernel } {
    return { kernel: new CoordinatorKernel(this.settings, this.bugs) };
  }

  /** With epochs between those of leaders, as elections under other keys have them. */
  protected override nextEpoch(): number {
    return this.epoch + 10;
  }

  protected onMessage(message: Message): void {
    this.sent.push(message);
  }

  protected onEvent(event: unknown): void {
    this.events.push(event as TransactionEvent);
  }

  /** Steps commands in one batch, and those that follow from them in further ones. Returns the reply to the last. */
  step(...requests: Request[]): Reply | undefined {
    const commands = requests.map((request) =>
      request.type === 'message' || request.type === 'tick' || request.type === 'expire' || request.origin !== undefined
        ? request
        : { ...request, origin: this.origin() },
    ) as Command[];
    this.together = commands.length;
    this.run(...commands);
    this.together = 1;
    this.flush();
    const origin = (commands.at(-1) as { origin?: unknown }).origin;
    return this.replyTo(origin);
  }

  replyTo(origin: unknown): Reply | undefined {
    return this.replies.find(({ to }) => to !== undefined && to === origin)?.reply;
  }

  /** Takes what was sent to participants since the last call. */
  take(): ToParticipant[] {
    const taken = this.sent.flatMap((sent) => (sent.to === 'participant' ? [sent.message] : []));
    this.sent = this.sent.filter((sent) => sent.to !== 'participant');
    return taken;
  }

  /** The lowest attempt that may still be prepared, as told last. */
  get mark(): Attempt {
    return this.sent.flatMap((sent) => (sent.to === 'everybody' ? [sent.mark.lowWaterMark] : [])).at(-1)!;
  }

  execute(transactionId: string, branches: readonly BranchRequest[], more: { fingerprint?: string; timeoutMs?: number; origin?: unknown } = {}) {
    const { fingerprint = 'f', timeoutMs = 30_000, origin } = more;
    return this.step({
      type: 'execute',
      origin,
      transactionId,
      fingerprint,
      mode: 'two-phase-commit',
      branches,
      firstTryMs: this.nowMs,
      deadlineMs: this.nowMs + timeoutMs,
    });
  }

  begin(transactionId: string, timeoutMs = 30_000): Attempt {
    const { nowMs } = this;
    const reply = this.step({
      type: 'begin',
      transactionId,
      mode: 'two-phase-commit',
      firstTryMs: nowMs,
      deadlineMs: nowMs + timeoutMs,
    });
    if (reply?.type !== 'begun') throw new Error(`not begun: ${JSON.stringify(reply)}`);
    return reply.attempt;
  }

  receive(message: ToCoordinator): void {
    this.step({ type: 'message', message });
  }

  /** The messages of a type that were sent, answered by `answer`. */
  answer(messages: readonly ToParticipant[], answer: (branch: BranchId) => ToCoordinator): void {
    for (const { branch } of messages) this.receive(answer(branch));
  }
}

export const votes = {
  yes: (branch: BranchId): ToCoordinator => ({ type: 'vote', branch, vote: 'yes' }),
  readOnly: (branch: BranchId): ToCoordinator => ({ type: 'vote', branch, vote: 'readOnly' }),
  no: (branch: BranchId, cause?: Failure): ToCoordinator => ({ type: 'vote', branch, vote: 'no', cause }),
};

export const acknowledge = (branch: BranchId): ToCoordinator => ({ type: 'acknowledge', branch });
