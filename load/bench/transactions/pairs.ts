/**
 * What something costs that is less than the noise between two rows: both are measured in turns, and
 * what counts is the median of the ratios of neighbours.
 */

import { header, line, type Row } from '../rows.ts';

/** @param what the second has and the first has not; @param pairs how many; the order within them alternates, so that a machine that drifts favours neither */
export async function comparePairs(what: string, pairs: number, measureFirst: () => Promise<Row>, measureSecond: () => Promise<Row>): Promise<void> {
  console.log(header());
  const shown = async (measure: () => Promise<Row>): Promise<Row> => {
    const row = await measure();
    console.log(line(row));
    return row;
  };
  const speed: number[] = [];
  const cpu: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const swapped = pair % 2 === 1;
    const [a, b] = swapped ? [measureSecond, measureFirst] : [measureFirst, measureSecond];
    const rows = [await shown(a), await shown(b)];
    const [first, second] = (swapped ? rows.reverse() : rows) as [Row, Row];
    speed.push(second.perSecond / first.perSecond);
    cpu.push(second.cpuMsPerTransaction / first.cpuMsPerTransaction);
  }
  console.log(`\nwith ${what} against without, median of ${pairs} pairs: ${percent(median(speed))} per second, ${percent(median(cpu))} CPU per transaction`);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function percent(ratio: number): string {
  const change = (ratio - 1) * 100;
  return `${change < 0 ? '−' : '+'}${Math.abs(change).toFixed(1)} %`;
}
