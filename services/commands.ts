/** What `txmesh` does beside serving: backup, restore and raise-epochs; docs/backup.md. */

import { BackupError } from './backup/format.ts';
import { raiseNumbers } from './backup/raise.ts';
import { BackupFile } from './backup/read.ts';
import { restoreInto, type Restored } from './backup/restore.ts';
import { restoreIntoFolder } from './backup/restore-folder.ts';
import { STANDARD_OUTPUT, writeBackup } from './backup/write.ts';
import { systemClock } from './runtime/clock.ts';
import { StoreError } from './runtime/store/errors.ts';
import { holdsStore } from './runtime/store/lmdb-environment.ts';
import { openSnapshot } from './runtime/store/open-snapshot.ts';
import { openStore } from './runtime/store/open.ts';
import { COMMANDS, type CommandName, type CommandSettings } from './settings/commands.ts';
import { helpText, readCommandSettings, SettingError } from './settings/read.ts';
import { version } from './version.ts';

type Run<Name extends CommandName> = (settings: CommandSettings<Name>) => Promise<string>;

const RUN: { readonly [Name in CommandName]: Run<Name> } = { backup, restore, 'raise-epochs': raiseEpochs };

/**
 * What it has done is told in a line on standard error.
 * @returns the exit code: 0 when it is done, 1 where it can't be done, 2 for a wrong setting
 */
export async function runCommand<Name extends CommandName>(
  name: Name,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  try {
    const parsed = readCommandSettings(name, args, environment);
    if (parsed.type === 'settings') say(await RUN[name](parsed.settings));
    else {
      const { help, settings } = COMMANDS[name];
      console.log(parsed.type === 'version' ? version : helpText(`txmesh ${name} ${help}\n\nUsage: txmesh ${name} [SETTING …]`, settings));
    }
    return 0;
  } catch (error) {
    if (!(error instanceof BackupError || error instanceof StoreError || error instanceof SettingError)) throw error;
    say(error.message);
    return error instanceof SettingError ? 2 : 1;
  }
}

/** What the store has to tell, on a line of its own. */
const tell = (message: string, fields: Record<string, unknown>): void => say(`${message} ${JSON.stringify(fields)}`);

async function backup(settings: CommandSettings<'backup'>): Promise<string> {
  const { output } = settings;
  if (output === undefined) throw new SettingError('--output is missing: the file to write the backup to');
  const snapshot = await openSnapshot({ ...settings, clock: systemClock, log: tell });
  try {
    const written = await writeBackup(snapshot, output, systemClock.nowMs());
    const { clusterId, revision, entries, bytes } = written;
    const place = output === STANDARD_OUTPUT ? 'standard output' : output;
    return `cluster ${clusterId} in ${snapshot.description} at revision ${revision}: ${entries} records, ${bytes} bytes, written to ${place}`;
  } finally {
    await snapshot.close();
  }
}

async function restore(settings: CommandSettings<'restore'>): Promise<string> {
  const { input, store: kind, dataDir } = settings;
  if (input === undefined) throw new SettingError('--input is missing: the backup to restore');
  const file = await BackupFile.open(input);
  try {
    const verified = await file.verify();
    const restored =
      kind === 'embedded' ? await restoreIntoFolder(dataDir, file, verified, systemClock) : await intoOpened(settings, (store) => restoreInto(store, file, verified, systemClock));
    return described(restored, kind === 'embedded' ? dataDir : `etcd at ${settings.etcdEndpoints.join(',')}`);
  } finally {
    await file.close();
  }
}

function described({ header, entries, numbersAbove }: Restored, place: string): string {
  const when = new Date(header.createMs).toISOString();
  return `cluster ${header.clusterId} of ${when}, revision ${header.revision}: ${entries} records restored to ${place}; what it numbers is above ${numbersAbove} from now on`;
}

async function raiseEpochs(settings: CommandSettings<'raise-epochs'>): Promise<string> {
  const { store: kind, dataDir } = settings;
  // Opening it would make one.
  if (kind === 'embedded' && !holdsStore(dataDir)) throw new BackupError(`data folder ${dataDir} holds no store (setting --data-dir)`);
  const { clusterId, numbersAbove } = await intoOpened(settings, (store) => raiseNumbers(store, systemClock, say));
  return `what cluster ${clusterId} numbers is above ${numbersAbove} from now on: servers may start`;
}

async function intoOpened<T>(settings: CommandSettings<'raise-epochs'>, work: (store: Awaited<ReturnType<typeof openStore>>) => Promise<T>): Promise<T> {
  if (settings.store === 'memory') throw new SettingError('--store must be embedded or etcd: a store in memory ends with its server');
  const store = await openStore({ ...settings, clock: systemClock, log: tell });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

function say(message: string): void {
  console.error(`txmesh: ${message}`);
}
