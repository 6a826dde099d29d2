/** The phases of a load: a warm-up, then the time that counts. */

import type { Quantiles } from './latencies.ts';

export interface Phases {
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** What every load reports; of some there is more. */
export interface LoadReport extends Quantiles {
  /** What ended well in the measured time: transactions, messages or adds. */
  readonly completed: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/**
 * Waits for the end of the warm-up, calls `begin`, and waits until the time is over, or `over` resolves.
 * Rejects as soon as `over` does.
 */
export async function measured(
  { warmUpSeconds, seconds }: Phases,
  begin: () => void,
  over: Promise<unknown>,
): Promise<Pick<LoadReport, 'seconds' | 'cpuSeconds'>> {
  await timeOr(over, warmUpSeconds);
  begin();
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  await timeOr(over, seconds);
  const { user, system } = process.cpuUsage(cpu);
  return { seconds: (performance.now() - startMs) / 1000, cpuSeconds: (user + system) / 1e6 };
}

async function timeOr(over: Promise<unknown>, seconds: number): Promise<void> {
  const time = Promise.withResolvers<void>();
  const timer = setTimeout(time.resolve, seconds * 1000);
  try {
    await Promise.race([time.promise, over]);
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a load in a process that main.ts has started: options in, one message when it is warm, the report at the end. */
export async function runAsProcess<Options>(run: (options: Options, onWarm: () => void) => Promise<LoadReport>): Promise<void> {
  const report = await run(JSON.parse(process.argv[2]!) as Options, () => process.send!({ warm: true }));
  process.send!({ report });
  process.disconnect!();
}
