import { attemptKey } from '../../kernel/attempt.ts';
import type { Branch } from './resource-manager.ts';

/** Names one attempt of one transaction at this participant. */
export function keyOf({ coordinatorPartition, attempt }: Branch): string {
  return `${coordinatorPartition}/${attemptKey(attempt)}`;
}
