/** Shared by the files that run the seeds side by side: nothing is violated, and what should happen did. */

import { expect } from 'vitest';
import { runSeeds } from './pool.ts';

/** What must have happened, or the seeds prove nothing. */
const COVERED = [
  'told committed',
  'told aborted',
  'told committed locally',
  'told refused locally',
  'asked for an interactive commit',
  'linearizable reads',
  'eventual reads',
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
  'batches with reads that wait',
  'collected transaction records',
  'collected branch records',
  'collected local records',
  'collected log records',
  'failure TRANSACTION_EXPIRED',
  'failure TRANSACTION_ID_REUSED',
  'failure OUTCOME_UNKNOWN',
  'failure NO_LEADER',
  'failure OVERLOADED',
];

export async function expectToHold(start: number, count: number): Promise<void> {
  const summary = await runSeeds({ start, count, workers: 1 });
  expect(summary.failed.map(({ seed, profile, violations }) => `seed ${seed} (${profile}): ${violations[0]}`)).toEqual([]);
  expect(summary.seeds).toBe(count);
  expect(COVERED.filter((what) => (summary.counts[what] ?? 0) === 0)).toEqual([]);
}
