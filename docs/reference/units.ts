/** Numbers as the pages write them. */

const KIB = 1024;
const BYTES = [['TiB', KIB ** 4], ['GiB', KIB ** 3], ['MiB', KIB ** 2], ['KiB', KIB]] as const;
const TIMES = [['day', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1000]] as const;

export const count = (value: number | bigint): string => value.toLocaleString('en-US');

/** In the largest unit that it is a whole number of. */
export function bytes(value: number): string {
  const unit = BYTES.find(([, size]) => value >= size && value % size === 0);
  return unit === undefined ? `${count(value)} bytes` : `${count(value / unit[1])} ${unit[0]}`;
}

/** As {@link bytes}, of milliseconds. */
export function time(ms: number): string {
  const unit = TIMES.find(([, size]) => ms >= size && ms % size === 0);
  if (unit === undefined) return `${count(ms)} ms`;
  const value = ms / unit[1];
  return `${count(value)} ${unit[0]}${unit[0] === 'day' && value > 1 ? 's' : ''}`;
}
