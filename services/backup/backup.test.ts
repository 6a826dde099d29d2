import { createHash, hash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../runtime/clock.ts';
import { clusterCodec, serviceCodec } from '../runtime/cluster/codec.ts';
import { joinCluster } from '../runtime/cluster/identity.ts';
import { HASH_NAME } from '../kernel/hash.ts';
import { StoreUnusable } from '../runtime/store/errors.ts';
import { openLmdbStore } from '../runtime/store/lmdb.ts';
import { MemoryStore } from '../runtime/store/memory.ts';
import type { Store, WriteBatch } from '../runtime/store/store.ts';
import { encodeFrame } from './codec.ts';
import { BackupError, LENGTH_BYTES, type Header } from './format.ts';
import { numbersAboveAt } from './numbers.ts';
import { raiseNumbers } from './raise.ts';
import { BackupFile } from './read.ts';
import { restoreIntoFolder } from './restore-folder.ts';
import { restoreInto, type Restored } from './restore.ts';
import { recordsOf, snapshotOf } from './testing/store-snapshot.ts';
import { writeBackup } from './write.ts';

const CLUSTER = '0190a0a0-0000-7000-8000-000000000001';
const DAY_MS = 24 * 60 * 60_000;

const folders: string[] = [];
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-backup-'));
  folders.push(folder);
  return folder;
}
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const utf8 = (text: string): Uint8Array => Buffer.from(text);

async function clusterStore(records = 50): Promise<MemoryStore> {
  const store = new MemoryStore(systemClock);
  await joinCluster(store, CLUSTER, Date.now());
  await store.write({ puts: [{ key: 'service/inventory', value: serviceCodec.encode({ kind: 'key-value', partitions: 1 }) }] });
  for (let i = 0; i < records; i++) await store.write({ puts: [{ key: `data/inventory/0000/key/a/${i} ü 🙂`, value: Buffer.alloc(i * 100, i) }] });
  await store.write({ puts: [{ key: 'data/\u{10000}', value: utf8('beyond the first plane') }, { key: 'data/\uffff', value: utf8('before it, in bytes') }] });
  const lease = await store.grantLease(60_000);
  await store.write({ puts: [{ key: 'live/member/a', value: utf8('not to be kept'), lease }] });
  return store;
}

async function backUp(store: Store, path = join(newFolder(), 'backup')): Promise<string> {
  await writeBackup(snapshotOf(store, 7), path, Date.now());
  return path;
}

async function restored(path: string, store: Store = new MemoryStore(systemClock)): Promise<{ store: Store; result: Restored }> {
  const file = await BackupFile.open(path);
  try {
    return { store, result: await restoreInto(store, file, await file.verify(), systemClock) };
  } finally {
    await file.close();
  }
}

const withoutCluster = async (store: Store) => (await recordsOf(store)).filter(({ key }) => key !== 'cluster').map(({ key, value }) => `${key} ${hash('sha256', value)}`);

/** A store that ends a restore after so many writes, as a crash would: what is written stays. */
function breaking(store: Store, writes: number): Store {
  let left = writes;
  return new Proxy(store, {
    get(target, name) {
      if (name === 'write')
        return async (batch: WriteBatch) => {
          if (left-- <= 0) throw new Error('cut off');
          return target.write(batch);
        };
      const value = Reflect.get(target, name) as unknown;
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

describe('a backup', () => {
  it('restores every record but the leased ones, and the cluster with numbers above all it gave out', async () => {
    const source = await clusterStore();
    const { store, result } = await restored(await backUp(source));
    expect(await withoutCluster(store)).toEqual(await withoutCluster(source));
    expect((await store.scan({ from: 'live/', to: 'live0' }, { limit: 10 })).entries).toEqual([]);
    expect(result).toMatchObject({ header: { clusterId: CLUSTER, revision: 7, highestEpoch: 7 }, entries: 54 });
    const joined = await joinCluster(store, 'another', 0);
    expect(joined.clusterId).toBe(CLUSTER);
    expect(joined.numbersAbove).toBe(result.numbersAbove);
    expect(joined.numbersAbove).toBeGreaterThan(Date.now() * 1024);
    // Releases that don't know of it refuse the cluster.
    expect((await store.get(['cluster']))[0]!.slice(0, 2)).toEqual(Uint8Array.from([8, 2]));
  });

  it('of a restored cluster is restored above it again', async () => {
    const first = await restored(await backUp(await clusterStore()));
    const second = await restored(await backUp(first.store));
    expect(second.result.header.highestEpoch).toBe(first.result.numbersAbove + 7);
    expect(second.result.numbersAbove).toBeGreaterThan(first.result.numbersAbove);
  });

  it('is not written over another one, and of nothing there is none', async () => {
    const path = await backUp(await clusterStore());
    const before = readFileSync(path);
    await expect(backUp(await clusterStore(), path)).rejects.toThrow(/exists already: choose another name \(setting --output\)/);
    expect(readFileSync(path)).toEqual(before);
    const nothing = join(newFolder(), 'nothing');
    await expect(backUp(new MemoryStore(systemClock), nothing)).rejects.toThrow(/holds no cluster: there is nothing to back up/);
    expect(existsSync(nothing)).toBe(false);
  });

  it('that fails leaves no file', async () => {
    const path = join(newFolder(), 'backup');
    const snapshot = { ...snapshotOf(await clusterStore()), async *pages() { yield []; throw new Error('etcd is away'); } };
    await expect(writeBackup(snapshot, path, Date.now())).rejects.toThrow('etcd is away');
    expect([existsSync(path), existsSync(`${path}.part`)]).toEqual([false, false]);
  });

  it('whose file can not be put in its place says why, and leaves none', async () => {
    const path = join(newFolder(), 'backup');
    const snapshot = snapshotOf(await clusterStore());
    // Somebody makes a folder of that name while the backup is written.
    const slow = { ...snapshot, get: snapshot.get.bind(snapshot), async *pages() { mkdirSync(path); yield* snapshot.pages(); } };
    const failing = writeBackup(slow, path, Date.now());
    await expect(failing).rejects.toBeInstanceOf(BackupError);
    await expect(failing).rejects.toThrow(/no backup can be written to .*backup \(setting --output\): .*(EISDIR|ENOTEMPTY|EEXIST)/);
    expect(existsSync(`${path}.part`)).toBe(false);
  });
});

describe('a file that is no whole backup', () => {
  const verify = async (bytes: Uint8Array): Promise<void> => {
    const path = join(newFolder(), 'file');
    writeFileSync(path, bytes);
    const file = await BackupFile.open(path);
    try {
      await file.verify();
    } finally {
      await file.close();
    }
  };
  const whole = async (): Promise<Buffer> => readFileSync(await backUp(await clusterStore(3)));

  it('is refused wherever it is cut off', async () => {
    const bytes = await whole();
    for (let length = 0; length < bytes.length; length++)
      await expect(verify(bytes.subarray(0, length)), `${length} bytes`).rejects.toThrow(BackupError);
    await expect(verify(bytes.subarray(0, 200))).rejects.toThrow(/is damaged: it ends at byte 200, before its footer: it was cut off; take another one/);
  });

  it('is refused whichever bit of it has changed', async () => {
    const bytes = await whole();
    // The last frame has the checksum of what is before it.
    const footerBytes = 60;
    for (let bit = 0; bit < bytes.length * 8; bit += bit < (bytes.length - footerBytes) * 8 ? 7 : 1) {
      const at = Math.floor(bit / 8);
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1 << (bit % 8);
      await expect(verify(changed), `bit ${bit}`).rejects.toThrow(/is damaged: |is no backup of txmesh|has format \d+, this version reads 1: restore it with a newer version/);
    }
  });

  it.each([
    ['a foreign file', () => utf8('PK\u0003\u0004'), /is no backup of txmesh: its first line is not "txmesh backup …" \(setting --input\)/],
    ['an empty file', () => new Uint8Array(), /is no backup of txmesh/],
    ['a newer format', () => utf8('txmesh backup 2\n…'), /has format 2, this version reads 1: restore it with a newer version/],
  ])('is refused: %s', async (_, bytes, message) => {
    await expect(verify(bytes())).rejects.toThrow(message);
  });

  it('is refused where something follows it', async () => {
    await expect(verify(Buffer.concat([await whole(), utf8('x')]))).rejects.toThrow(/it goes on at byte \d+, after its end/);
  });

  it('is refused where it is a folder, or not there', async () => {
    const folder = newFolder();
    await expect(BackupFile.open(folder)).rejects.toThrow(/can't be read \(setting --input\): it is read twice, and so must be a file/);
    await expect(BackupFile.open(join(folder, 'none'))).rejects.toThrow(/can't be read \(setting --input\): ENOENT/);
  });

  it('of any bytes never does anything but be refused', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      await expect(verify(Buffer.concat([utf8('txmesh backup 1\n'), bytes]))).rejects.toThrow(BackupError);
    }), { numRuns: 100 });
  });

  it('holds records that this version does not know', async () => {
    const store = await clusterStore(1);
    await store.write({ puts: [{ key: 'service/new', value: Uint8Array.from([8, 99]) }] });
    await expect(restored(await backUp(store))).rejects.toThrow(/a service record has format 99, this version reads 1: run a newer version/);
  });

  it('routes by another hash', async () => {
    const store = new MemoryStore(systemClock);
    await store.write({ puts: [{ key: 'cluster', value: clusterCodec.encode({ clusterId: CLUSTER, hash: 'crc', createMs: 1, numbersAbove: 0, restoring: false }) }] });
    await expect(restored(await backUp(store))).rejects.toThrow(/routes by crc, this version by .*: restore it with the version that wrote it/);
  });

  it('has frames out of their order', async () => {
    const frame = (content: Uint8Array): Uint8Array => {
      const bytes = Buffer.alloc(LENGTH_BYTES + content.length);
      bytes.writeUInt32BE(content.length);
      bytes.set(content, LENGTH_BYTES);
      return bytes;
    };
    const header: Header = { clusterId: CLUSTER, createMs: 1, engine: 'etcd', revision: 1, highestEpoch: 1, version: '1' };
    const entries = encodeFrame({ type: 'entries', entries: [{ key: 'a', value: utf8('1') }] });
    const first = utf8('txmesh backup 1\n');
    await expect(verify(Buffer.concat([first, frame(entries)]))).rejects.toThrow(/what begins at byte 16 makes no sense there/);
    const twice = encodeFrame({ type: 'header', header });
    await expect(verify(Buffer.concat([first, frame(twice), frame(twice)]))).rejects.toThrow(/makes no sense there/);
    const footed = (...frames: Uint8Array[]): Buffer => {
      const before = Buffer.concat([first, ...frames.map(frame)]);
      const sha256 = createHash('sha256').update(before).digest();
      return Buffer.concat([before, frame(encodeFrame({ type: 'footer', footer: { entries: frames.length - 1, sha256 } }))]);
    };
    await expect(verify(footed(twice, entries, entries))).rejects.toThrow(/the key "a" is not in its place/);
    await expect(verify(footed(twice, entries))).rejects.toThrow(/it has no record of the cluster that it says to be of/);
    const leased = encodeFrame({ type: 'entries', entries: [{ key: 'live/a', value: utf8('1') }] });
    await expect(verify(footed(twice, leased))).rejects.toThrow(/it has the key "live\/a", which lives with a lease/);
    const nameless = encodeFrame({ type: 'entries', entries: [{ key: '', value: utf8('1') }] });
    await expect(verify(footed(twice, nameless))).rejects.toThrow(/a key is empty/);
  });
});

describe('a restore', () => {
  it('is refused into a store that holds anything, which stays as it is', async () => {
    const path = await backUp(await clusterStore());
    for (const put of [{ key: 'a', value: utf8('1') }, { key: 'zebra', value: utf8('1') }]) {
      const store = new MemoryStore(systemClock);
      await store.write({ puts: [put] });
      await expect(restored(path, store)).rejects.toThrow(new RegExp(`memory is not empty, it has the key "${put.key}": restore into an empty store`));
      expect((await recordsOf(store)).length).toBe(1);
    }
    const other = await clusterStore();
    const before = await recordsOf(other);
    await expect(restored(path, other)).rejects.toThrow(`memory holds cluster ${CLUSTER}: restore into an empty store`);
    expect(await recordsOf(other)).toEqual(before);
  });

  it('that is cut off is served by nobody, and begun anew', async () => {
    const source = await clusterStore(500);
    const path = await backUp(source);
    for (const writes of [2, 3, 4]) {
      const store = new MemoryStore(systemClock);
      await expect(restored(path, breaking(store, writes))).rejects.toThrow('cut off');
      await expect(joinCluster(store, 'another', 0)).rejects.toThrow(StoreUnusable);
      await expect(joinCluster(store, 'another', 0)).rejects.toThrow(/a restore into memory is under way or was cut off: .* run txmesh restore again/);
      await expect(backUp(store)).rejects.toThrow(/holds a restore that is under way or was cut off/);
      await expect(raiseNumbers(store, systemClock, () => {})).rejects.toThrow(/holds a restore that was cut off: run txmesh restore again/);
      await store.write({ puts: [{ key: 'data/left', value: utf8('of the first one') }] });
      await restored(path, store);
      expect(await withoutCluster(store)).toEqual(await withoutCluster(source));
      expect((await joinCluster(store, 'another', 0)).clusterId).toBe(CLUSTER);
    }
  });

  it('is refused while another one is under way', async () => {
    const path = await backUp(await clusterStore());
    const store = new MemoryStore(systemClock);
    const results = await Promise.allSettled([restored(path, store), restored(path, store)]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [failed] = results.filter((result) => result.status === 'rejected');
    expect(String(failed!.reason)).toMatch(/another restore into memory is under way, or ended a moment ago/);
  });

  it('into a data folder is moved to its place when it is whole', async () => {
    const source = await clusterStore();
    const path = await backUp(source);
    const dataDir = join(newFolder(), 'deep', 'data');
    const restore = async (): Promise<void> => {
      const file = await BackupFile.open(path);
      try {
        await restoreIntoFolder(dataDir, file, await file.verify(), systemClock);
      } finally {
        await file.close();
      }
    };
    // Cut off: the folder beside is there, and nothing else.
    const cutOff = await openLmdbStore(join(dataDir, 'restoring'), systemClock);
    await cutOff.write({ puts: [{ key: 'data/left', value: utf8('of the first one') }] });
    await cutOff.close();
    await expect(openLmdbStore(dataDir, systemClock)).rejects.toThrow(/a restore into data folder .* was cut off \(setting --data-dir\): run txmesh restore again, or remove /);
    await restore();
    expect(existsSync(join(dataDir, 'restoring'))).toBe(false);
    await expect(restore()).rejects.toThrow(/holds a store: restore into an empty folder \(setting --data-dir\)/);
    const store = await openLmdbStore(dataDir, systemClock);
    expect(await withoutCluster(store)).toEqual(await withoutCluster(source));
    expect((await joinCluster(store, 'another', 0)).clusterId).toBe(CLUSTER);
    await expect(restore()).rejects.toThrow(/in use by another process/);
    await store.close();
  });
});

describe('what a restored cluster numbers', () => {
  const nowMs = Date.UTC(2030, 0, 1);
  const WRITES_PER_MS = 100;

  it('is above everything that was given out since the backup, by whatever was restored in between (P10)', () => {
    fc.assert(fc.property(fc.array(fc.nat(30 * DAY_MS), { minLength: 1, maxLength: 20 }), (livedMs) => {
      let atMs = nowMs;
      let highest = 1000;
      for (const lived of livedMs) {
        // Every time from the first backup, whose cluster had given out little.
        const above = numbersAboveAt(atMs, { createMs: nowMs, highestEpoch: 1000 });
        expect(above).toBeGreaterThan(highest - 1);
        highest = above + lived * WRITES_PER_MS;
        atMs += lived + 1;
      }
      expect(Number.isSafeInteger(highest)).toBe(true);
    }));
  });

  it('is refused where the clock is behind the backup', () => {
    expect(() => numbersAboveAt(nowMs, { createMs: nowMs + 2 * DAY_MS, highestEpoch: 1 })).toThrow(/the clock of this machine says 2030-01-01T00:00:00.000Z, and the data was written later: set the clock/);
    expect(() => numbersAboveAt(nowMs, { createMs: nowMs, highestEpoch: (nowMs + 3 * DAY_MS) * 1024 })).toThrow(BackupError);
    expect(numbersAboveAt(nowMs, { createMs: nowMs + DAY_MS / 2, highestEpoch: 1 })).toBe((nowMs + DAY_MS) * 1024);
  });

  it('is raised where a store was put back by other means, once nobody lives there', async () => {
    const store = await clusterStore();
    const [member] = (await store.scan({ from: 'live/', to: 'live0' }, { limit: 1 })).entries;
    const notes: string[] = [];
    const raising = raiseNumbers(store, systemClock, (message) => notes.push(message));
    await expect.poll(() => notes).toEqual(['waiting until 1 leased keys in memory end, at most 75 s']);
    expect((await joinCluster(store, 'another', 0)).numbersAbove).toBe(0);
    await store.write({ deletes: [member!.key] });
    const { numbersAbove } = await raising;
    expect(await joinCluster(store, 'another', 0)).toMatchObject({ clusterId: CLUSTER, hash: HASH_NAME, numbersAbove });
    expect(numbersAbove).toBeGreaterThan(Date.now() * 1024);
  });

  it('is not raised under servers that go on living', async () => {
    const store = await clusterStore();
    const hasty = { ...systemClock, monotonicMs: () => performance.now() * 1000 };
    await expect(raiseNumbers(store, hasty, () => {})).rejects.toThrow(/servers run on memory \(a\): stop them all first/);
    expect((await joinCluster(store, 'another', 0)).numbersAbove).toBe(0);
    // The claim is given back.
    await store.write({ deletes: ['live/member/a'] });
    await raiseNumbers(store, systemClock, () => {});
  });

  it('can\'t be raised where there is no cluster', async () => {
    await expect(raiseNumbers(new MemoryStore(systemClock), systemClock, () => {})).rejects.toThrow(/memory holds no cluster/);
  });
});
