/** Between milliseconds and the well-known types of time. */

import type { Duration } from '../../gen/google/protobuf/duration.ts';
import type { Timestamp } from '../../gen/google/protobuf/timestamp.ts';

/** @param ms not negative. */
export function toDuration(ms: number): Duration {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: Math.round((ms % 1000) * 1e6) };
}

/** Rounded down to whole milliseconds where nanoseconds are finer. */
export function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + Math.trunc(duration.nanos / 1e6);
}

/** @param ms since 1970, not negative. */
export function toTimestamp(ms: number): Timestamp {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: Math.floor(ms % 1000) * 1e6 };
}

/** Milliseconds since 1970, rounded down. */
export function timestampMs(timestamp: Timestamp): number {
  return Number(timestamp.seconds) * 1000 + Math.trunc(timestamp.nanos / 1e6);
}
