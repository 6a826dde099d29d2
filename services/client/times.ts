/** Times that users give, checked and as the protos have them. */

import type { Duration } from '../gen/google/protobuf/duration.ts';
import type { Timestamp } from '../gen/google/protobuf/timestamp.ts';
import { toDuration, toTimestamp } from '../runtime/transport/time.ts';
import { invalidRequest } from './errors.ts';

/** @throws InvalidRequest naming the field */
export function duration(ms: number | undefined, field: string): Duration | undefined {
  return ms === undefined ? undefined : toDuration(checkedMs(ms, field));
}

/** @throws InvalidRequest naming the field */
export function timestamp(date: Date, field: string): Timestamp {
  return toTimestamp(checkedMs(date.getTime(), field));
}

/** @throws InvalidRequest naming the field */
export function checkedMs(ms: number, field: string): number {
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) throw invalidRequest(`${field} is ${ms}; it must be a time in milliseconds, not negative`, field);
  return ms;
}
