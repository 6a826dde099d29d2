/** Store keys of the branch protocol's records, within the partition. */

import { attemptKey, type Attempt } from '../attempt.ts';
import type { KeyRange } from '../kernel.ts';

export const PROGRESS_KEY = 'progress';
export const BRANCH_PREFIX = 'branch/';
export const PREPARED_PREFIX = 'prepared/';
export const DONE_PREFIX = 'done/';
export const LOCAL_PREFIX = 'local/';
export const LATE_PREFIX = 'late/';

export function branchPrefix(coordinatorPartition: number): string {
  return `${BRANCH_PREFIX}${coordinatorPartition.toString(16).padStart(4, '0')}/`;
}

export function branchKey(coordinatorPartition: number, attempt: Attempt): string {
  return branchPrefix(coordinatorPartition) + attemptKey(attempt);
}

/** 14 hexadecimal digits: key order is number order up to 2^53. */
export function hex14(number: number): string {
  return number.toString(16).padStart(14, '0');
}

export function preparedKey(sequence: number): string {
  return PREPARED_PREFIX + hex14(sequence);
}

export function doneKey(sequence: number): string {
  return DONE_PREFIX + hex14(sequence);
}

/** Every key that begins with the prefix, which ends in '/'. */
export function rangeOf(prefix: string): KeyRange {
  return { from: prefix, to: `${prefix.slice(0, -1)}0` };
}
