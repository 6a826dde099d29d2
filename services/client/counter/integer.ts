/** 64-bit integers: bigints, or numbers where they are exact. */

import { invalidRequest } from '../errors.ts';

/** A whole number: a bigint within 64 bits, or a safe integer. */
export type Integer = bigint | number;

const LOWEST = -(2n ** 63n);
const HIGHEST = 2n ** 63n - 1n;

/** @throws InvalidRequest for what is no 64-bit integer, or not exact. */
export function toInt64(value: Integer, field: string): bigint {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw invalidRequest(`${field} is ${value}; numbers must be safe integers, use a bigint`, field);
    return BigInt(value);
  }
  if (typeof value !== 'bigint') throw invalidRequest(`${field} must be a bigint or a safe integer`, field);
  if (value < LOWEST || value > HIGHEST) throw invalidRequest(`${field} is ${value}; it must have 64 bits`, field);
  return value;
}
