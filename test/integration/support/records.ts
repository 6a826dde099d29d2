/** What stores hold, to be compared: a line for each record, but the leased ones and the cluster's own. */

import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { BackupFile } from '../../../services/backup/read.ts';
import { openLmdbSnapshot } from '../../../services/runtime/store/lmdb-snapshot.ts';
import type { Entry } from '../../../services/runtime/store/store.ts';

const run = promisify(execFile);
const MOST_OUTPUT_BYTES = 1024 * 2 ** 20;

/** @param dataDir of a server that may run or not */
export async function recordsInFolder(dataDir: string): Promise<string[]> {
  const snapshot = openLmdbSnapshot(dataDir);
  try {
    return await linesOf(snapshot.pages());
  } finally {
    await snapshot.close();
  }
}

export async function recordsInBackup(path: string): Promise<string[]> {
  const file = await BackupFile.open(path);
  try {
    return await linesOf(file.entries());
  } finally {
    await file.close();
  }
}

/** As etcdctl shows them, at a revision; 0: of now. */
export async function recordsInEtcd(etcdctl: string, endpoint: string, prefix: string, revision = 0): Promise<string[]> {
  const args = ['get', prefix, '--prefix', `--rev=${revision}`, '-w', 'json', `--endpoints=${endpoint}`];
  const { stdout } = await run(etcdctl, args, { maxBuffer: MOST_OUTPUT_BYTES });
  const { kvs = [] } = JSON.parse(stdout) as { kvs?: { key: string; value?: string }[] };
  const entries = kvs.map(({ key, value = '' }) => ({ key: Buffer.from(key, 'base64').toString().slice(prefix.length), value: Buffer.from(value, 'base64') }));
  return linesOf([entries.filter(({ key }) => !key.startsWith('live/'))]);
}

async function linesOf(pages: AsyncIterable<readonly Entry[]> | Iterable<readonly Entry[]>): Promise<string[]> {
  const lines: string[] = [];
  for await (const page of pages) {
    for (const { key, value } of page) if (key !== 'cluster') lines.push(`${key} ${hash('sha256', value)}`);
  }
  return lines;
}
