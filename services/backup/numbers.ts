/**
 * Above which number everything is that a cluster numbers after a restore (invariant P10). It follows from the
 * time of the restore and not from what the backup holds, because a backup does not know what was given out
 * after it, nor by clusters that were restored from it before. It grows by a million a second, and nothing
 * that is numbered grows faster: etcd's revisions do by one for each write, tens of thousands a second;
 * lmdb's by 2^16 for each opening; a partition's revisions and sequences by one for each change. So whatever
 * was given out before the restore is below, as long as clocks are right within the margin.
 */

import { BackupError } from './format.ts';

const NUMBERS_PER_MS = 2 ** 10;
/** How wrong the clock of whoever restores may be. */
const CLOCK_MARGIN_MS = 24 * 60 * 60_000;

/**
 * @param createMs when the data was read from the cluster, by the clock there
 * @param highestEpoch that the cluster had given out by then
 * @throws BackupError where the clock can't be right
 */
export function numbersAboveAt(nowMs: number, { createMs, highestEpoch }: { readonly createMs: number; readonly highestEpoch: number }): number {
  const numbersAbove = Math.ceil(nowMs + CLOCK_MARGIN_MS) * NUMBERS_PER_MS;
  if (nowMs + CLOCK_MARGIN_MS < createMs || numbersAbove <= highestEpoch)
    throw new BackupError(
      `the clock of this machine says ${new Date(nowMs).toISOString()}, and the data was written later: ` +
        'set the clock, because what the cluster numbers from now on must be above all that it gave out',
    );
  return numbersAbove;
}
