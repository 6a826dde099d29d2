/** Many transactions with a short retention: memory and store size must stay flat once it has passed. */

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BenchServer, load } from '../processes.ts';
import type { TransactionLoad } from './client.ts';

const RETENTION = '10s';
const IN_FLIGHT = 256;
const PARTS = 10;

function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((total, entry) => total + statSync(join(entry.parentPath, entry.name)).blocks * 512, 0);
}

/** @param transactions how many in all, run in ten parts with a line after each */
export async function soak(transactions: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-soak-'));
  const server = await BenchServer.start(['--data-dir', folder, '--partitions', '1', '--retention', RETENTION]);
  console.log(`embedded, retention ${RETENTION}, ${IN_FLIGHT} in flight\ntransactions     per second     RSS MiB     store MiB`);
  try {
    for (let part = 1; part <= PARTS; part++) {
      const options: TransactionLoad = { address: server.address, inFlight: IN_FLIGHT, warmUpSeconds: 0, seconds: 3600, transactions: transactions / PARTS };
      const report = await load('transactions/client.ts', options);
      const { rssMiB } = await server.usage();
      const cells = [(part * transactions) / PARTS, report.completed / report.seconds, rssMiB, bytesIn(folder) / 2 ** 20];
      console.log(cells.map((cell, i) => String(Math.round(cell)).padStart(i === 0 ? 12 : 13)).join(''));
    }
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}
