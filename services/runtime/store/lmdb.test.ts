import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { open as openDatabase } from 'lmdb';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../clock.ts';
import { storeConformance } from './testing/conformance.ts';
import { StoreUnusable } from './errors.ts';
import { lmdbOptions } from './lmdb-environment.ts';
import { openLmdbStore } from './lmdb.ts';
import { prefixRange, type Store } from './store.ts';

const HELPER = join(import.meta.dirname, 'testing', 'lmdb-test-process.ts');
const NO_LIMIT = 1_000_000;

const folders: string[] = [];
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-lmdb-'));
  folders.push(folder);
  return folder;
}
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const open = (folder: string): Promise<Store> => openLmdbStore(folder, systemClock);

storeConformance('lmdb', () => open(newFolder()));

/** Another process on the folder, in a mode of its own; see its file. */
function start(mode: string, folder: string): { child: ChildProcess; lines: AsyncIterator<string> } {
  const child = spawn(process.execPath, [HELPER, mode, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  return { child, lines: createInterface({ input: child.stdout! })[Symbol.asyncIterator]() };
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

describe('the lmdb store across openings', () => {
  it('keeps records, forgets leased keys, and raises its revisions', async () => {
    const folder = newFolder();
    const before = await open(folder);
    const lease = await before.grantLease(60_000);
    const first = await before.write({
      puts: [{ key: 'a', value: Buffer.from('1') }, { key: 'live/a', value: Buffer.from('1'), lease }],
    });
    await before.close();
    const after = await open(folder);
    expect(await after.get(['a', 'live/a'])).toEqual([Buffer.from('1'), undefined]);
    const another = await after.grantLease(60_000);
    const second = await after.write({
      puts: [{ key: 'b', value: Buffer.from('2') }, { key: 'live/b', value: Buffer.from('2'), lease: another }],
    });
    if (first.type !== 'written' || second.type !== 'written') throw new Error('refused');
    expect(second.revision).toBeGreaterThan(first.revision);
    expect(Number.isSafeInteger(second.revision)).toBe(true);
    // The reservation is nobody's key.
    expect((await after.scan({ from: '\0', to: '\u{10ffff}' }, { limit: NO_LIMIT })).entries.map(({ key }) => key)).toEqual(['a', 'b', 'live/b']);
    await after.close();
  });

  it('never gives a revision twice, however many an opening uses', async () => {
    const folder = newFolder();
    let highest = 0;
    for (let opening = 0; opening < 3; opening++) {
      const store = await open(folder);
      const lease = await store.grantLease(60_000);
      const claim = { puts: [{ key: 'live/a', value: Buffer.alloc(0), lease }], deletes: ['live/b'] };
      for (let i = 0; i < (opening === 0 ? 2 ** 16 + 5 : 1); i++) {
        const result = await store.write(claim);
        if (result.type !== 'written' || result.revision <= highest) throw new Error(`${JSON.stringify(result)} after ${highest}`);
        highest = result.revision;
      }
      await store.close();
    }
  });

  it('shares a folder with release 0.1.0, which counts openings, one after the other', async () => {
    const folder = newFolder();
    const counted = async (): Promise<number> => {
      const database = openDatabase({ ...lmdbOptions(folder) });
      const before = database.get('\udfff');
      const count = (before === undefined ? 0 : Number(Buffer.from(before).readBigUInt64BE())) + 1;
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64BE(BigInt(count));
      await database.put('\udfff', bytes);
      await database.close();
      return count * 2 ** 32;
    };
    const reserved = async (): Promise<number> => {
      const store = await open(folder);
      const result = await store.write({ puts: [{ key: 'live/a', value: Buffer.alloc(0), lease: await store.grantLease(60_000) }] });
      await store.close();
      return result.type === 'written' ? result.revision : -1;
    };
    const given = [await counted(), await reserved(), await reserved(), await counted(), await counted(), await reserved(), await counted()];
    expect(given).toEqual([...new Set(given)].sort((a, b) => a - b));
    // An old one may have used up all of its count.
    expect(given[1]! - given[0]!).toBeGreaterThan(2 ** 32);
  });

  it('every write that a process was told of is there after kill -9, and whole', async () => {
    const folder = newFolder();
    const { child, lines } = start('write', folder);
    let told = -1;
    while (told < 300) told = Number((await lines.next()).value);
    await kill(child);
    const store = await open(folder);
    const { entries } = await store.scan(prefixRange('k/'), { limit: NO_LIMIT });
    const numbers = entries.map(({ key }) => Number(key.slice(2, 10)));
    expect(new Set(numbers).size).toBeGreaterThan(told);
    for (let number = 0; number <= told; number++) expect(numbers.filter((each) => each === number), `write ${number}`).toHaveLength(3);
    // Also a write that nobody was told of is there as a whole or not at all.
    expect(numbers.length % 3).toBe(0);
    await store.close();
  });

  it('a second process is refused while the first one lives, and let in after kill -9', async () => {
    const folder = newFolder();
    const { child, lines } = start('hold', folder);
    expect((await lines.next()).value).toBe('open');
    await expect(open(folder)).rejects.toThrow(StoreUnusable);
    await expect(open(folder)).rejects.toThrow(`data folder ${folder} is in use by another process`);
    await expect(open(folder)).rejects.toThrow('--data-dir');
    await kill(child);
    await (await open(folder)).close();
  });

  it('what a reader keeps of its moment is given back when it was killed', async () => {
    const folder = newFolder();
    const store = await open(folder);
    await store.write({ puts: [{ key: 'a', value: Buffer.from('1') }] });
    const { child, lines } = start('read', folder);
    expect((await lines.next()).value).toBe('open');
    const observer = openDatabase({ ...lmdbOptions(folder), readOnly: true });
    const isListed = (): boolean => new RegExp(`^\\s*${child.pid}\\s`, 'm').test(observer.readerList());
    expect(isListed()).toBe(true);
    await store.compact();
    expect(isListed()).toBe(true);
    await kill(child);
    expect(isListed()).toBe(true);
    await store.compact();
    expect(isListed()).toBe(false);
    await observer.close();
    await store.close();
  });

  it('a second opening in the same process is refused too', async () => {
    const folder = newFolder();
    const store = await open(folder);
    await expect(open(folder)).rejects.toThrow('in use by another process');
    await store.write({ puts: [{ key: 'a', value: Buffer.from('1') }] });
    await store.close();
    await (await open(folder)).close();
  });

  it('a folder that can\'t be made, or is no store, is refused in a line that names --data-dir', async () => {
    const file = join(newFolder(), 'file');
    writeFileSync(file, 'text');
    await expect(open(join(file, 'below'))).rejects.toThrow(/--data-dir/);
    const folder = newFolder();
    writeFileSync(join(folder, 'data.mdb'), 'this is not a database '.repeat(1000));
    await expect(open(folder)).rejects.toThrow(/--data-dir/);
  });
});

describe('the lmdb store on a full disk', () => {
  it('a write that finds no room is refused as surely not executed, and smaller ones go on', async () => {
    const folder = newFolder();
    // A limit on the length of files, the signal for it ignored, is a full disk that needs no mount.
    const script = 'trap "" XFSZ; ulimit -f 8000; exec "$0" "$@"';
    const run = spawnSync('bash', ['-c', script, process.execPath, HELPER, 'fill', folder], { encoding: 'utf8', timeout: 60_000 });
    expect(run.stdout.trim().split('\n'), run.stderr).toEqual(['StoreFull', 'refused batches left nothing', 'small write ok']);
    const store = await open(folder);
    expect(await store.get(['small'])).not.toEqual([undefined]);
    await store.close();
  });
});
