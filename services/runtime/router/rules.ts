/**
 * Rules for the fields of requests. A rule looks at one value and reports what is wrong with it under
 * the field's path; a message's rule is a table with one rule for every field, complete by its type.
 */

import type { Failure, FieldViolation } from '../../kernel/failure.ts';
import { isTransactionId } from '../../kernel/transaction-id.ts';
import { durationMs } from '../transport/time.ts';

export type Rule<T> = (value: T, path: string, found: Violations) => void;

/** Most violations that one answer names. */
const MOST_NAMED = 50;

/** What is wrong with one request, all of it. */
export class Violations {
  private readonly fields: FieldViolation[] = [];
  private limit: string | undefined;
  private count = 0;

  /** A field breaks its rule; `description` follows the field's name: "must not be empty". */
  add(field: string, description: string): void {
    this.count++;
    if (this.fields.length < MOST_NAMED) this.fields.push({ field, description });
  }

  /** A field passes a limit. */
  exceed(field: string, description: string): void {
    this.limit ??= `${field} ${description}`;
    this.add(field, description);
  }

  get failure(): Failure | undefined {
    const first = this.fields[0];
    if (first === undefined) return undefined;
    const more = this.count > 1 ? ` (${this.count - 1} more below)` : '';
    const violations = this.fields;
    return this.limit === undefined
      ? { reason: 'INVALID_FIELD', message: `${first.field} ${first.description}${more}`, violations }
      : { reason: 'LIMIT_EXCEEDED', message: `${this.limit}${more}`, violations };
  }
}

/** What is wrong with the message, if anything is. */
export function findFailure<T>(rule: Rule<T>, message: T): Failure | undefined {
  const found = new Violations();
  rule(message, '', found);
  return found.failure;
}

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** A message: a rule for each of its fields. Paths are made of the fields' names in the proto files. */
export function message<T extends object>(rules: { readonly [K in keyof T]-?: Rule<T[K]> }): Rule<T> {
  const table = (Object.keys(rules) as (keyof T & string)[]).map((key) => ({ key, name: snakeCase(key), rule: rules[key] }));
  return (value, path, found) => {
    for (const { key, name, rule } of table) rule(value[key], path === '' ? name : `${path}.${name}`, found);
  };
}

/** Any value is right. */
export const anything: Rule<unknown> = () => {};

/** Either absent or right. */
export function optional<T>(rule: Rule<T>): Rule<T | undefined> {
  return (value, path, found) => {
    if (value !== undefined) rule(value, path, found);
  };
}

export function required<T>(rule: Rule<T>): Rule<T | undefined> {
  return (value, path, found) => {
    if (value === undefined) found.add(path, 'must be set');
    else rule(value, path, found);
  };
}

/** Either empty or right. */
export function orEmpty(rule: Rule<string>): Rule<string> {
  return (value, path, found) => {
    if (value !== '') rule(value, path, found);
  };
}

/** Between `least` and `most` elements, each right. */
export function list<T>(least: number, most: number, rule: Rule<T>): Rule<readonly T[]> {
  return (values, path, found) => {
    if (values.length < least) found.add(path, `must have at least ${least} element${least === 1 ? '' : 's'}`);
    if (values.length > most) return found.exceed(path, `has ${values.length} elements, the limit is ${most}`);
    for (let i = 0; i < values.length; i++) rule(values[i]!, `${path}[${i}]`, found);
  };
}

export function pattern(form: RegExp, description: string): Rule<string> {
  return (value, path, found) => {
    if (!form.test(value)) found.add(path, description);
  };
}

/** Length of a string's UTF-8 form; counted only where its length does not settle the question. */
export function utf8Exceeds(text: string, limitBytes: number): boolean {
  if (text.length > limitBytes) return true;
  return text.length * 3 > limitBytes && Buffer.byteLength(text) > limitBytes;
}

/** At most this many bytes of UTF-8. */
export function textUpTo(limitBytes: number): Rule<string> {
  return (value, path, found) => {
    if (utf8Exceeds(value, limitBytes))
      found.exceed(path, `has ${Buffer.byteLength(value)} bytes of UTF-8, the limit is ${limitBytes}`);
  };
}

export function bytesUpTo(limitBytes: number): Rule<Uint8Array> {
  return (value, path, found) => {
    if (value.length > limitBytes) found.exceed(path, `has ${value.length} bytes, the limit is ${limitBytes}`);
  };
}

/** All of these. */
export function both<T>(...rules: readonly Rule<T>[]): Rule<T> {
  return (value, path, found) => {
    for (const rule of rules) rule(value, path, found);
  };
}

/** A value of an enum, given as the generated object. `except` are values that can't be sent. */
export function enumOf(values: Readonly<Record<string, number>>, ...except: readonly number[]): Rule<number> {
  const known = new Map(Object.entries(values).map(([name, value]) => [value, name] as const));
  known.delete(-1);
  for (const value of except) known.delete(value);
  const choices = [...known].map(([value, name]) => `${name} (${value})`).join(', ');
  return (value, path, found) => {
    if (!known.has(value)) found.add(path, `is ${value}; must be one of ${choices}`);
  };
}

/** A whole number in a range. */
export function wholeNumber(least: number, most: number): Rule<number> {
  return (value, path, found) => {
    if (!(Number.isSafeInteger(value) && value >= least && value <= most))
      found.add(path, `is ${value}; must be from ${least} to ${most}`);
  };
}

export interface DurationLike {
  readonly seconds: bigint;
  readonly nanos: number;
}

const LARGEST_DURATION_S = 315_576_000_000n;
const LARGEST_NANOS = 999_999_999;

export function isDuration({ seconds, nanos }: DurationLike): boolean {
  const outside = seconds > LARGEST_DURATION_S || seconds < -LARGEST_DURATION_S || Math.abs(nanos) > LARGEST_NANOS;
  return !outside && !(seconds > 0n && nanos < 0) && !(seconds < 0n && nanos > 0);
}

/** A google.protobuf.Duration in a range of milliseconds. */
export function duration(leastMs: number, mostMs: number): Rule<DurationLike> {
  return (value, path, found) => {
    if (!isDuration(value)) found.add(path, 'is not a valid google.protobuf.Duration');
    else if (durationMs(value) < leastMs || durationMs(value) > mostMs) found.add(path, `must be from ${leastMs} ms to ${mostMs} ms`);
  };
}

const LATEST_TIMESTAMP_S = 253_402_300_799n;

export function isTimestamp({ seconds, nanos }: DurationLike): boolean {
  return seconds >= 0n && seconds <= LATEST_TIMESTAMP_S && nanos >= 0 && nanos <= LARGEST_NANOS;
}

/** A google.protobuf.Timestamp, not before 1970. */
export const timestamp: Rule<DurationLike> = (value, path, found) => {
  if (!isTimestamp(value)) found.add(path, 'must be a time from 1970 to 9999');
};

/** 1 to 63 characters of a-z, 0-9 and '-', beginning with a letter. */
export const serviceName: Rule<string> = pattern(
  /^[a-z][a-z0-9-]{0,62}$/,
  "must be 1 to 63 characters of a-z, 0-9 and '-', beginning with a letter",
);

export const transactionId: Rule<string> = (value, path, found) => {
  if (!isTransactionId(value)) found.add(path, 'must be a UUIDv7 in canonical form: 36 lower-case characters');
};

export const notEmpty: Rule<string> = (value, path, found) => {
  if (value === '') found.add(path, 'must not be empty');
};

export const MAX_ROUTING_KEY_BYTES = 1024;

export const routingKey: Rule<string> = both(notEmpty, textUpTo(MAX_ROUTING_KEY_BYTES));

/** Most bytes of an operation's type URL. */
export const MAX_TYPE_URL_BYTES = 255;

/** As google.protobuf.Any has it: a slash, then the full name of the message. */
export const typeUrl: Rule<string> = both(
  textUpTo(MAX_TYPE_URL_BYTES),
  pattern(/^[^\s]*\/[A-Za-z_][\w.]*$/, 'must end in "/" and the full name of a message, like type.googleapis.com/package.Message'),
);

/** A number of a partition; whether it exists is looked up later. */
export const partitionNumber: Rule<number> = wholeNumber(0, 0xffff);

/** A positive number below 2^53. */
export const positive: Rule<number> = wholeNumber(1, Number.MAX_SAFE_INTEGER);

export const attempt: Rule<{ readonly epoch: number; readonly counter: number }> = message({
  epoch: positive,
  counter: positive,
});

/** For a page size of 0. */
export const DEFAULT_PAGE_SIZE = 100;
export const MAX_PAGE_SIZE = 1000;
export const pageSize: Rule<number> = wholeNumber(0, MAX_PAGE_SIZE);

/** A W3C traceparent is taken as it is; what is not one is not traced. */
export const MAX_TRACEPARENT_BYTES = 256;
export const traceparent: Rule<string> = textUpTo(MAX_TRACEPARENT_BYTES);
