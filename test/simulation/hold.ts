/** Shared by the files that run the seeds side by side: nothing is violated, and what should happen did. */

import { expect } from 'vitest';
import { runSeeds } from './pool.ts';
import { SUBSCRIPTIONS } from './queue/plan.ts';
import type { Shape } from './world/cluster.ts';

/** What must have happened in seeds of any shape, or they prove nothing. */
const COVERED_BY_ALL = [
  'told committed',
  'told aborted',
  'asked for an interactive commit',
  'terms',
  'crash',
  'pause',
  'isolate',
  'storeCut',
  'jump',
  'drained',
  'ambiguous writes',
  'refused writes',
  'replays compared',
  'late copies',
  'batches with reads that wait',
  'failure OUTCOME_UNKNOWN',
  'failure NO_LEADER',
];

const COVERED_BY_KEYS = [
  ...COVERED_BY_ALL,
  'told committed locally',
  'told refused locally',
  'linearizable reads',
  'eventual reads',
  'ids used for two contents',
  'forced outcomes',
  'sent prepare',
  'sent commit',
  'sent abort',
  'sent inquire',
  'sent pending',
  'sent forget',
  'sent enlistAnswer',
  'batches with waits for locks',
  'collected transaction records',
  'collected branch records',
  'collected local records',
  'collected log records',
  'failure TRANSACTION_EXPIRED',
  'failure TRANSACTION_ID_REUSED',
  'failure OVERLOADED',
];

const COVERED_BY_ALL_KINDS = [
  ...COVERED_BY_ALL,
  'adds counted',
  'adds refused',
  'adds sent elsewhere',
  'slots moved',
  'replicas merged',
  'counters: set',
  'counters: failed',
  ...['strong', 'sharded', 'queued', 'replicated'].map((kind) => `linearizable reads of ${kind} counters`),
  'published',
  ...SUBSCRIPTIONS.map(({ name }) => `delivered ${name}`),
  'delivered again',
  'acknowledge: done',
  'acknowledge: refused',
  'extend: done',
  'giveBack: done',
  'administered: seek',
  'administered: purge',
  'administered: snapshot',
  'published under an id',
  'released',
  'pulls served side by side',
  'messages acknowledged in transactions',
  'dead letters',
  'delayed messages delivered',
  'collected segment records',
  'collected ack records',
  'collected token records',
  'collected event records',
  'failure BOUND_EXCEEDED',
  'failure COUNTER_CHANGING',
  'failure ACK_EXPIRED',
];

const COVERED: Readonly<Record<Shape, readonly string[]>> = { keys: COVERED_BY_KEYS, 'all kinds': COVERED_BY_ALL_KINDS };

/** @param which seeds, of the profiles with this shape */
export async function expectToHold({ shape, start, count }: { shape: Shape; start: number; count: number }): Promise<void> {
  const summary = await runSeeds({ start, count, shape, workers: 1 });
  expect(summary.failed.map(({ seed, profile, violations }) => `seed ${seed} (${profile}): ${violations[0]}`)).toEqual([]);
  expect(summary.seeds).toBe(count);
  expect(COVERED[shape].filter((what) => (summary.counts[what] ?? 0) === 0)).toEqual([]);
}
