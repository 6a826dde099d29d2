/** One row of the bench: servers are started, a load runs, and what both used is put together. */

import type { LoadReport, Phases } from './measured.ts';
import type { Row } from './rows.ts';
import type { Servers, StoreName } from './servers.ts';

export interface Conditions extends Phases {
  /** For the Node of the servers. */
  readonly flags: readonly string[];
}

export interface Workload {
  readonly workload: string;
  readonly store: StoreName;
  readonly inFlight: number;
  measure(conditions: Conditions): Promise<Row>;
}

export const nameOf = ({ workload, store, inFlight }: Workload): string => `${workload}/${store}/${inFlight}`;

/** The figures of a load and of the servers under it. */
export async function rowOf<Report extends LoadReport>(
  { workload, store, inFlight }: Workload,
  servers: Servers,
  run: (onWarm: () => Promise<void>) => Promise<Report>,
): Promise<{ readonly row: Row; readonly report: Report }> {
  let before = await servers.usage();
  const report = await run(async () => void (before = await servers.usage()));
  const after = await servers.usage();
  const { completed, seconds, cpuSeconds, p50Ms, p99Ms, p999Ms } = report;
  return {
    report,
    row: {
      workload,
      store,
      inFlight,
      perSecond: completed / seconds,
      p50Ms,
      p99Ms,
      p999Ms,
      storeWritesPerTransaction: (after.writes - before.writes) / completed,
      cpuMsPerTransaction: ((after.cpuSeconds - before.cpuSeconds + cpuSeconds) * 1000) / completed,
      rssMiB: after.rssMiB,
    },
  };
}
