/**
 * txmesh/participant/conformance: checks a participant, written in whatever language, against the
 * participant protocol, over the plain calls and over the batched stream. Needs no test framework:
 *
 * ```ts
 * await using mesh = await startConformanceMesh();
 * // … start the participant with mesh.address as its mesh …
 * for (const { name, run } of conformanceTests({ address, participant: 'loyalty', clusterId: mesh.clusterId, operations })) {
 *   test(name, run);
 * }
 * ```
 *
 * The checks play the coordinator with attempts and marks of their own: never run them against a
 * participant that a real mesh uses.
 */

import { AssertionError } from 'node:assert';
import { setTimeout as pause } from 'node:timers/promises';
import { newTransactionId } from './ids.ts';
import { Coordinator, type Conversation, type Target } from './conformance/conversation.ts';
import type { Content } from './operations.ts';
import type { Branch } from './participant/resource-manager.ts';

export { startConformanceMesh, type ConformanceMesh } from './conformance/mesh.ts';
export type { Branch, Content };

export interface ConformanceOptions {
  /** host:port of the participant. */
  readonly address: string;
  /** Its name. */
  readonly participant: string;
  /** The cluster that it believes to be in. */
  readonly clusterId: string;
  /** The partition that the operations belong to. Default 0. */
  readonly partition?: number;
  /** Operations that can be prepared and committed, with effects that don't get in each other's way for different numbers. */
  operations(number: number): readonly Content[];
  /** Operations that the participant must not prepare. Default: an unknown type. */
  readonly malformed?: readonly Content[];
  /** Stops the participant, if possible with SIGKILL, and starts it again. Without it, restarts are not checked. */
  restart?(): Promise<void>;
  /** How often the work of `operations(number)` has taken effect. Without it, effects are not checked. */
  effects?(number: number): Promise<number> | number;
  /** Epoch of the attempts; higher than in any run before against the same data. Default: the time. */
  readonly epoch?: number;
  /** Coordinator partition that the checks play. Default 0. */
  readonly coordinatorPartition?: number;
}

export interface ConformanceTest {
  /** The rule, as a sentence. */
  readonly name: string;
  /** Rejects if the participant breaks it. */
  run(): Promise<void>;
}

/** One rule: a sentence, and what shows that it holds. */
interface Rule {
  readonly sentence: string;
  readonly needsRestart?: true;
  check(on: Conversation, work: Work, options: ConformanceOptions): Promise<void>;
}

/** What a rule may use up: branches and operations that no other rule touches. */
interface Work {
  /** A new transaction's first attempt. */
  branch(): Branch;
  /** The same transaction, started again. */
  retried(branch: Branch): Branch;
  readonly number: number;
  readonly operations: readonly Content[];
}

/** How long a mark may take to have its effect. */
const MARK_TRIES = 50;
const MARK_PAUSE_MS = 100;
const UNKNOWN_TYPE: readonly Content[] = [{ typeUrl: 'type.googleapis.com/txmesh.conformance.Unknown', value: Uint8Array.of(8, 1) }];

const RULES: readonly Rule[] = [
  {
    sentence: 'votes yes to what it can do, and lists it as prepared until it is committed',
    async check(on, work, options) {
      const branch = work.branch();
      expectVote(await on.prepare(branch, work.operations), 'yes');
      expectThat(await isPrepared(on, branch), 'a branch that was voted yes for is listed as prepared');
      await expectEffects(options, work, 0);
      await on.commit(branch);
      expectThat(!(await isPrepared(on, branch)), 'a committed branch is not listed as prepared');
      await expectEffects(options, work, 1);
    },
  },
  {
    sentence: 'gives the same vote when a prepare is repeated',
    async check(on, work, options) {
      const branch = work.branch();
      expectVote(await on.prepare(branch, work.operations), 'yes');
      expectVote(await on.prepare(branch, work.operations), 'yes');
      await on.commit(branch);
      await expectEffects(options, work, 1);
    },
  },
  {
    sentence: 'commits once when a commit is repeated',
    async check(on, work, options) {
      const branch = work.branch();
      expectVote(await on.prepare(branch, work.operations), 'yes');
      await on.commit(branch);
      await on.commit(branch);
      await expectEffects(options, work, 1);
    },
  },
  {
    sentence: 'does nothing of what is aborted, also when the abort is repeated',
    async check(on, work, options) {
      const branch = work.branch();
      expectVote(await on.prepare(branch, work.operations), 'yes');
      await on.abort(branch);
      await on.abort(branch);
      expectThat(!(await isPrepared(on, branch)), 'an aborted branch is not listed as prepared');
      await expectEffects(options, work, 0);
    },
  },
  {
    sentence: 'acknowledges the commit of a branch that it does not know',
    async check(on, work, options) {
      await on.commit(work.branch());
      await expectEffects(options, work, 0);
    },
  },
  {
    sentence: 'takes the abort of a branch that it does not know',
    check: (on, work) => on.abort(work.branch()),
  },
  {
    sentence: 'does not do the work again when a prepare arrives late, after the commit',
    async check(on, work, options) {
      const branch = work.branch();
      expectVote(await on.prepare(branch, work.operations), 'yes');
      await on.commit(branch);
      await on.prepareIgnoringAnswer(branch, work.operations);
      expectThat(!(await isPrepared(on, branch)), 'a late prepare of a committed attempt prepares nothing');
      await on.commit(branch);
      await expectEffects(options, work, 1);
    },
  },
  {
    sentence: 'ignores an older attempt than the one it holds (T5)',
    async check(on, work, options) {
      const older = work.branch();
      const newer = work.retried(older);
      expectVote(await on.prepare(newer, work.operations), 'yes');
      await on.prepareIgnoringAnswer(older, work.operations);
      await on.abort(older);
      expectThat(await isPrepared(on, newer), 'the newer attempt is still prepared');
      await on.commit(newer);
      await expectEffects(options, work, 1);
    },
  },
  {
    sentence: 'replaces an older attempt by a newer one (T5)',
    async check(on, work, options) {
      const older = work.branch();
      const newer = work.retried(older);
      expectVote(await on.prepare(older, work.operations), 'yes');
      expectVote(await on.prepare(newer, work.operations), 'yes');
      expectThat(await isPrepared(on, newer), 'the newer attempt is prepared');
      expectThat(!(await isPrepared(on, older)), 'the older attempt is not prepared any more');
      await on.commit(newer);
      await expectEffects(options, work, 1);
    },
  },
  {
    sentence: 'refuses to prepare attempts below the low-water mark, soon after it has heard of it (T7)',
    async check(on, work, options) {
      const lates = Array.from({ length: MARK_TRIES }, () => work.branch());
      const mark = work.branch().attempt;
      await on.mark(mark);
      for (const late of lates) {
        const answer = await on.prepare(late, work.operations);
        if (answer === 'no') {
          expectThat(!(await isPrepared(on, late)), 'nothing is prepared');
          return expectEffects(options, work, 0);
        }
        expectVote(answer, 'yes');
        await on.abort(late);
        await pause(MARK_PAUSE_MS);
      }
      expectThat(false, `refuses within ${MARK_TRIES * MARK_PAUSE_MS} ms`);
    },
  },
  {
    sentence: 'does not prepare what is malformed',
    async check(on, work, { malformed = UNKNOWN_TYPE }) {
      const branch = work.branch();
      const answer = await on.prepare(branch, malformed);
      expectThat(answer === 'no' || answer === 'INVALID_ARGUMENT', `answers no or INVALID_ARGUMENT, not ${answer}`);
      expectThat(!(await isPrepared(on, branch)), 'nothing is prepared');
    },
  },
  {
    sentence: 'refuses messages of another cluster (P6)',
    async check(on, work) {
      const branch = work.branch();
      const answer = await on.prepareFromForeignCluster(branch, work.operations);
      expectThat(answer === 'FAILED_PRECONDITION', `answers FAILED_PRECONDITION, not ${answer}`);
      expectThat(!(await isPrepared(on, branch)), 'nothing is prepared');
    },
  },
  {
    sentence: 'keeps its promise through a restart (T12)',
    needsRestart: true,
    async check(on, work, options) {
      const branch = work.branch();
      expectVote(await on.prepare(branch, work.operations), 'yes');
      await options.restart!();
      expectThat(await isPrepared(on, branch), 'the branch is still prepared');
      expectVote(await on.prepare(branch, work.operations), 'yes');
      await on.commit(branch);
      await expectEffects(options, work, 1);
    },
  },
  {
    sentence: 'remembers a commit through a restart, and does not do the work again (T7)',
    needsRestart: true,
    async check(on, work, options) {
      const branch = work.branch();
      expectVote(await on.prepare(branch, work.operations), 'yes');
      await on.commit(branch);
      await options.restart!();
      await on.prepareIgnoringAnswer(branch, work.operations);
      expectThat(!(await isPrepared(on, branch)), 'a late prepare of a committed attempt prepares nothing');
      await on.commit(branch);
      await expectEffects(options, work, 1);
    },
  },
];

/** Every rule over the plain calls, then over the stream. Run them in this order, one at a time. */
export function conformanceTests(options: ConformanceOptions): ConformanceTest[] {
  const { epoch = Date.now(), coordinatorPartition = 0, participant, partition = 0 } = options;
  const target: Target = { ...options, coordinatorPartition };
  let counter = 0;
  let works = 0;
  const newWork = (): Work => {
    const number = ++works;
    const branch = (transactionId = newTransactionId()): Branch => ({
      transactionId,
      attempt: { epoch, counter: ++counter },
      coordinatorPartition,
      participant,
      partition,
    });
    return { branch: () => branch(), retried: ({ transactionId }) => branch(transactionId), number, operations: options.operations(number) };
  };
  const rules = RULES.filter(({ needsRestart }) => needsRestart === undefined || options.restart !== undefined);
  return (['plain calls', 'stream'] as const).flatMap((form) =>
    rules.map(({ sentence, check }) => ({
      name: `${form}: ${sentence}`,
      async run() {
        const coordinator = new Coordinator(target);
        try {
          await check(form === 'stream' ? coordinator.overStream() : coordinator.overPlainCalls(), newWork(), options);
        } finally {
          coordinator.close();
        }
      },
    })),
  );
}

async function isPrepared(on: Conversation, { transactionId, attempt }: Branch): Promise<boolean> {
  const listed = await on.listPrepared();
  return listed.some((other) => other.transactionId === transactionId && other.attempt.counter === attempt.counter && other.attempt.epoch === attempt.epoch);
}

async function expectEffects({ effects }: ConformanceOptions, { number }: Work, times: number): Promise<void> {
  if (effects === undefined) return;
  const actual = await effects(number);
  expectThat(actual === times, `the work has taken effect ${times} times, not ${actual}`);
}

function expectVote(actual: string, expected: string): void {
  expectThat(actual === expected, `votes ${expected}, not ${actual}`);
}

function expectThat(holds: boolean, message: string): void {
  if (!holds) throw new AssertionError({ message: `expected that the participant does what the rule says: ${message}` });
}
