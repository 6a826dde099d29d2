/** Rules for the values of settings. A rule throws what is wrong, in words that follow "must be". */

export interface Rule<T> {
  /** What may be written, for the help: "1s … 60s". */
  readonly form: string;
  parse(value: string): T;
}

/** Says what a value must be. */
export class RuleBroken extends Error {}

export function text(form?: RegExp, words?: string): Rule<string> {
  return {
    form: 'text',
    parse(value) {
      if (value === '') throw new RuleBroken('must not be empty');
      if (form !== undefined && !form.test(value)) throw new RuleBroken(`must be ${words}`);
      return value;
    },
  };
}

export function list<T>(item: Rule<T>): Rule<readonly T[]> {
  return {
    form: 'a,b,…',
    parse: (value) => value.split(',').map((part) => part.trim()).filter((part) => part !== '').map((part) => item.parse(part)),
  };
}

export function oneOf<const T extends string>(...values: readonly T[]): Rule<T> {
  return {
    form: values.join(' | '),
    parse(value) {
      if (!(values as readonly string[]).includes(value)) throw new RuleBroken(`must be ${values.join(' or ')}`);
      return value as T;
    },
  };
}

export function wholeNumber(least: number, most: number): Rule<number> {
  return {
    form: `${least} … ${most}`,
    parse(value) {
      const number = Number(value);
      if (!/^\d+$/.test(value) || number < least || number > most)
        throw new RuleBroken(`must be a whole number from ${least} to ${most}`);
      return number;
    },
  };
}

const DURATION_UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** As it would be typed, in the largest unit that it is a whole number of. */
function typed(ms: number): string {
  const [unit, size] = Object.entries(DURATION_UNITS).findLast(([, each]) => ms >= each && ms % each === 0) ?? ['ms', 1];
  return `${ms / size}${unit}`;
}

/** A duration in milliseconds. */
export function duration(leastMs: number, mostMs: number): Rule<number> {
  return {
    form: `${typed(leastMs)} … ${typed(mostMs)}`,
    parse(value) {
      const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value);
      if (match === null) throw new RuleBroken('must be a number with a unit: ms, s, m, h or d, for example 5s');
      const ms = Math.round(Number(match[1]) * DURATION_UNITS[match[2]!]!);
      if (ms < leastMs || ms > mostMs) throw new RuleBroken(`must be from ${typed(leastMs)} to ${typed(mostMs)}`);
      return ms;
    },
  };
}

const BYTE_UNITS: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** A size in bytes. */
export function bytes(): Rule<number> {
  return {
    form: '512KiB, 4MiB, 2GiB',
    parse(value) {
      const match = /^(\d+)(B|KiB|MiB|GiB)$/.exec(value);
      if (match === null || Number(match[1]) === 0)
        throw new RuleBroken('must be a positive number with a unit: B, KiB, MiB or GiB, for example 4MiB');
      return Number(match[1]) * BYTE_UNITS[match[2]!]!;
    },
  };
}
