/** 64-bit integers: nothing ever wraps (invariant C1). */

export const MIN_INT64 = -(2n ** 63n);
export const MAX_INT64 = 2n ** 63n - 1n;

/** The sums of a sharded counter's slots can't pass 64 bits while each keeps this. */
export const MAX_SLOT = 2n ** 56n;

/** The nearest that 64 bits hold: for sums that only inform. */
export function clamped(value: bigint): bigint {
  return value > MAX_INT64 ? MAX_INT64 : value < MIN_INT64 ? MIN_INT64 : value;
}

export function isInt64(value: bigint): boolean {
  return value >= MIN_INT64 && value <= MAX_INT64;
}
