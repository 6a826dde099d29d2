/**
 * The backup that the schedule takes, put back as docs/backup.md says, by the page's own commands: what was there
 * at the backup is there again, what was done since is not, and the mesh serves.
 */

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { until } from '../integration/support/until.ts';
import { inDoubt, leadersOf, operationOf, type Grpcurl } from './grpcurl.ts';
import { runNow } from './jobs.ts';
import { kubectl, NAMESPACE, run } from './kubectl.ts';
import { storedWork, type Stored, type StoredWork } from './stored.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const MANIFESTS = 'deploy/components/etcd/restore';
const HEADING = '### Into the StatefulSet of etcd';
/** The file that the page takes for an example. */
const EXAMPLE = /etcd-backup-\d+-\w+/g;
const COMMAND_BOUND_MS = 16 * 60_000;
const SERVES_WITHIN_MS = 120_000;
const SERVERS_START = /scale statefulset -l \S+ --replicas=[1-9]/;

/**
 * @param named gives a manifest the names of the images
 * @param whileDown is waited for when all is put back and no server runs
 * @returns what was found, in words. @throws with what is not as it was
 */
export async function restoreBackup(grpcurl: Grpcurl, named: (manifest: string) => string, whileDown: () => Promise<void>): Promise<string> {
  const before = await storedWork(grpcurl);
  const snapshot = await takeBackup();
  await changeEverything(grpcurl);
  const later = differences(before, await storedWork(grpcurl));
  const unchanged = Object.keys(before).filter((what) => !(what in later));
  if (unchanged.length > 0) throw new Error(`what was done after the backup is not to be seen in ${unchanged.join(', ')}`);
  const startMs = Date.now();
  await followPage(snapshot, named, whileDown);
  const tookSeconds = Math.round((Date.now() - startMs) / 1000);
  await everythingIsLed(grpcurl);
  const different = Object.values(differences(before, await storedWork(grpcurl)));
  const open = await inDoubt(grpcurl);
  if (different.length + open.length > 0) throw new Error(`restored, and not as it was: ${[...different, ...open].join('; ')}`);
  await changeEverything(grpcurl);
  return `${snapshot} was put back in ${tookSeconds} s by the commands of docs/backup.md; there is what was there: ${Object.entries(before).map(([what, there]) => `${what} ${shortly(there)}`).join(', ')}`;
}

/** Once more by the schedule's own job. @returns the name of its file */
async function takeBackup(): Promise<string> {
  const job = 'etcd-backup-to-restore';
  await runNow('etcd-backup', job);
  return (await kubectl('get', 'pods', '--selector', `batch.kubernetes.io/job-name=${job}`, '-o', 'jsonpath={.items[0].metadata.name}')).trim();
}

const shortly = (stored: Stored): string => (typeof stored === 'string' ? stored : `${stored.length} keys`);

/** What is not the same, in words. */
function differences(before: StoredWork, after: StoredWork): Record<string, string> {
  const told = (was: Stored, is: Stored): string => {
    if (typeof was === 'string' || typeof is === 'string') return `was ${shortly(was)} and is ${shortly(is)}`;
    const lost = was.filter((entry) => !is.includes(entry));
    const other = is.filter((entry) => !was.includes(entry));
    return `lacks ${lost.slice(0, 3).join(', ') || 'nothing'} and has ${other.slice(0, 3).join(', ') || 'nothing'} besides`;
  };
  const changed = Object.keys(before).filter((what) => JSON.stringify(before[what]) !== JSON.stringify(after[what]));
  return Object.fromEntries(changed.map((what) => [what, `${what} ${told(before[what]!, after[what]!)}`]));
}

/** One transaction that changes all that is looked at. */
async function changeEverything(grpcurl: Grpcurl): Promise<void> {
  const value = (text: string): string => Buffer.from(text).toString('base64');
  const put = (participant: string, collection: string, key: string, text: string) => operationOf(participant, key, 'keyvalue.v1.PutOperation', { collection, key, value: value(text) });
  await grpcurl.execute([
    put('inventory', 'accounts', 'household-0/0', '{"money":0}'),
    put('payments', 'accounts', 'household-0/0', '{"money":0}'),
    put('payments', 'receipts', 'later', 'x'),
    put('inventory', 'e2e-handled', 'later', 'x'),
    operationOf('queue', 'later', 'queue.v1.PublishOperation', { topic: 'e2e-parcels', message: { data: value('later') } }),
    ...['strong', 'sharded', 'handled'].map((name) => operationOf('counter', `e2e-${name}`, 'counter.v1.AddOperation', { counter: `e2e-${name}`, amount: '1' })),
  ]);
}

/** The commands of the page, in this test's namespace, with this run's images, of this backup. */
async function followPage(snapshot: string, named: (manifest: string) => string, whileDown: () => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-restore-'));
  try {
    cpSync(join(ROOT, MANIFESTS), join(folder, MANIFESTS), { recursive: true });
    for (const file of readdirSync(join(folder, MANIFESTS))) {
      const path = join(folder, MANIFESTS, file);
      writeFileSync(path, named(readFileSync(path, 'utf8')));
    }
    let cwd = folder;
    for (const shown of commandsOf(readFileSync(join(ROOT, 'docs/backup.md'), 'utf8'))) {
      const command = shown.replaceAll('kubectl -n txmesh ', `kubectl -n ${NAMESPACE} `).replaceAll(EXAMPLE, snapshot);
      if (SERVERS_START.test(command)) await whileDown();
      const folderOf = /^cd (\S+)$/.exec(command)?.[1];
      if (folderOf !== undefined) cwd = join(cwd, folderOf);
      else await run('bash', ['-e', '-o', 'pipefail', '-c', command], { cwd, boundMs: COMMAND_BOUND_MS });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @throws where the page does not have what this is about */
function commandsOf(page: string): string[] {
  const [, block] = /```console\n([\s\S]*?)```/.exec(page.slice(page.indexOf(HEADING))) ?? [];
  if (!page.includes(HEADING) || block === undefined) throw new Error(`docs/backup.md has no commands below "${HEADING}"`);
  const commands = block.split(/^\$ /m).map((command) => command.replaceAll(/^> /gm, '').trim()).filter((command) => command !== '');
  for (const needed of [EXAMPLE, SERVERS_START]) if (commands.join('\n').search(needed) === -1) throw new Error(`no command of docs/backup.md below "${HEADING}" matches ${String(needed)}`);
  return commands;
}

async function everythingIsLed(grpcurl: Grpcurl): Promise<void> {
  let leaderless = 0;
  await until(
    'every partition has a leader after the restore',
    SERVES_WITHIN_MS,
    async () => (leaderless = (await leadersOf(grpcurl)).get('') ?? 0) === 0,
    () => `${leaderless} have none`,
  );
}
