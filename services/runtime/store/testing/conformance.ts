/**
 * What every engine must do, as tests. A test file of an engine calls {@link storeConformance} with a
 * way to open a fresh, empty store of that engine.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DuplicateKey, InvalidStoreRequest, LeaseLost, StoreUnavailable, WriteLimitExceeded } from '../errors.ts';
import {
  LEASED_PREFIX,
  MAX_KEY_BYTES,
  WRITE_LIMITS,
  prefixRange,
  type Lease,
  type Put,
  type Store,
  type WatchEvent,
  type WriteBatch,
} from '../store.ts';
import { ModelStore, arbitraryBatches } from './conformance-model.ts';
import { batchBytes } from '../validate.ts';

const LEASE_MS = 60_000;
const WAIT = { timeout: 10_000, interval: 5 };

/** @param open gives an empty store; it is closed, and opened again, between groups of tests. */
export function storeConformance(name: string, open: () => Promise<Store>): void {
  describe(`${name} keeps the promises of the store port`, () => {
    let store: Store;
    let lease: Lease;
    let lastFolder = 0;
    /** A prefix of keys that no other test uses. */
    const folder = (): string => `f${++lastFolder}/`;

    beforeAll(async () => {
      store = await open();
      lease = await store.grantLease(LEASE_MS);
    });
    afterAll(() => store.close());

    const put = (key: string, value = key): Put => ({
      key,
      value: Buffer.from(value),
      ...(key.startsWith(LEASED_PREFIX) ? { lease } : {}),
    });
    const text = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString());
    const read = async (...keys: string[]): Promise<(string | undefined)[]> => (await store.get(keys)).map(text);
    const list = async (prefix: string): Promise<string[]> =>
      (await store.scan(prefixRange(prefix), { limit: 10_000 })).entries.map(({ key }) => key.slice(prefix.length));
    const written = async (batch: WriteBatch): Promise<number> => {
      const result = await store.write(batch);
      if (result.type !== 'written') throw new Error('the write was refused');
      return result.revision;
    };

    describe('reading and writing', () => {
      it('reads what was written, in the order asked for, undefined where there is nothing', async () => {
        const at = folder();
        await written({ puts: [put(`${at}a`, '1'), put(`${at}b`, '2')] });
        expect(await read(`${at}b`, `${at}none`, `${at}a`)).toEqual(['2', undefined, '1']);
        expect(await store.get([])).toEqual([]);
      });

      it('keeps values of any bytes and any length up to the limit', async () => {
        const at = folder();
        const values = [Buffer.alloc(0), Buffer.from([0, 255, 10, 0]), Buffer.alloc(100_000, 7), Buffer.alloc(WRITE_LIMITS.bytes - 20, 9)];
        for (const [index, value] of values.entries()) {
          await written({ puts: [{ key: `${at}${index}`, value }] });
          const [found] = await store.get([`${at}${index}`]);
          expect(Buffer.compare(Buffer.from(found!), value)).toBe(0);
        }
      });

      it('reads many keys at once', async () => {
        const at = folder();
        const keys = Array.from({ length: 300 }, (_, index) => `${at}${index}`);
        for (let start = 0; start < keys.length; start += 100) await written({ puts: keys.slice(start, start + 100).map((key) => put(key)) });
        expect(await read(...keys)).toEqual(keys);
      });

      it('replaces and deletes by name, and deleting what is absent does nothing', async () => {
        const at = folder();
        await written({ puts: [put(`${at}a`, '1'), put(`${at}b`, '1')] });
        await written({ puts: [put(`${at}a`, '2')], deletes: [`${at}b`, `${at}none`] });
        expect(await read(`${at}a`, `${at}b`)).toEqual(['2', undefined]);
      });

      it('deletes a range, its start included and its end not', async () => {
        const at = folder();
        await written({ puts: ['a', 'b', 'c', 'd'].map((key) => put(at + key)) });
        await written({ puts: [put(`${at}z`)], deleteRanges: [{ from: `${at}b`, to: `${at}d` }, { from: `${at}z`, to: `${at}a` }] });
        expect(await list(at)).toEqual(['a', 'd', 'z']);
      });

      it('gives leased keys revisions that only grow', async () => {
        const key = `${LEASED_PREFIX}${folder()}a`;
        const lease = await store.grantLease(60_000);
        const leased = { key, value: new Uint8Array(), lease };
        const first = await written({ puts: [leased] });
        const second = await written({ deletes: [key] });
        const third = await written({ puts: [leased] });
        expect([second > first, third > second, Number.isSafeInteger(third)]).toEqual([true, true, true]);
        await lease.revoke();
      });

      it('a later write of one caller is never overtaken by an earlier one', async () => {
        const at = folder();
        const writes = Array.from({ length: 200 }, (_, index) => store.write({ puts: [put(`${at}a`, String(index)), put(`${at}${index}`)] }));
        await Promise.all(writes);
        expect(await list(at)).toHaveLength(201);
        if (!name.startsWith('etcd')) expect(await read(`${at}a`)).toEqual(['199']);
      });
    });

    describe('scanning', () => {
      it('goes by UTF-8 bytes, which is not the order of JavaScript strings', async () => {
        const at = folder();
        const keys = ['a', 'aa', 'b', 'z\u0000', 'é', '\u{ff5e}', '\u{1f600}'];
        await written({ puts: [...keys].reverse().map((key) => put(at + key)) });
        expect(await list(at)).toEqual(keys);
        const { entries } = await store.scan({ from: `${at}\u{ff5e}`, to: `${at}\u{1f600}` }, { limit: 10 });
        expect(entries.map(({ key }) => key)).toEqual([`${at}\u{ff5e}`]);
      });

      it('stops at the limit and says whether there is more', async () => {
        const at = folder();
        await written({ puts: ['a', 'b', 'c'].map((key) => put(at + key)) });
        const scan = async (limit: number, reverse: boolean): Promise<[string[], boolean]> => {
          const { entries, more } = await store.scan(prefixRange(at), { limit, reverse });
          return [entries.map(({ key }) => key.slice(at.length)), more];
        };
        expect(await scan(2, false)).toEqual([['a', 'b'], true]);
        expect(await scan(3, false)).toEqual([['a', 'b', 'c'], false]);
        expect(await scan(2, true)).toEqual([['c', 'b'], true]);
        expect(await scan(4, true)).toEqual([['c', 'b', 'a'], false]);
      });

      it('takes its start and leaves its end, in both directions', async () => {
        const at = folder();
        await written({ puts: ['a', 'b', 'c'].map((key) => put(at + key)) });
        for (const reverse of [false, true]) {
          const { entries } = await store.scan({ from: `${at}a`, to: `${at}c` }, { limit: 9, reverse });
          expect(entries.map(({ key }) => key).sort()).toEqual([`${at}a`, `${at}b`]);
        }
        expect(await store.scan({ from: `${at}b`, to: `${at}b` }, { limit: 9 })).toEqual({ entries: [], more: false });
        expect(await store.scan({ from: `${at}c`, to: `${at}a` }, { limit: 9 })).toEqual({ entries: [], more: false });
      });

      it('leaves the values out when asked for keys only', async () => {
        const at = folder();
        await written({ puts: [put(`${at}a`, 'long')] });
        const { entries } = await store.scan(prefixRange(at), { limit: 1, keysOnly: true });
        expect(entries.map(({ key, value }) => [key, value.length])).toEqual([[`${at}a`, 0]]);
      });

      it('shows leased keys among the others', async () => {
        await written({ puts: [put('liv'), put('live/scan/a'), put('live0'), put('live/scan/b')] });
        const range = { from: 'liv', to: 'live00' };
        const keys = ['liv', 'live/scan/a', 'live/scan/b', 'live0'];
        const forwards = await store.scan(range, { limit: 4 });
        expect(forwards).toMatchObject({ more: false });
        expect(forwards.entries.map(({ key }) => key)).toEqual(keys);
        const backwards = await store.scan(range, { limit: 3, reverse: true });
        expect(backwards.more).toBe(true);
        expect(backwards.entries.map(({ key }) => key)).toEqual([...keys].reverse().slice(0, 3));
        await written({ deleteRanges: [range] });
        expect((await store.scan(range, { limit: 4 })).entries).toEqual([]);
      });
    });

    describe('comparing', () => {
      it('"absent" holds only while there is no such key, and a refused write changes nothing', async () => {
        const at = folder();
        const batch: WriteBatch = { compares: [{ type: 'absent', key: `${at}a` }], puts: [put(`${at}a`), put(`${at}b`)] };
        expect((await store.write(batch)).type).toBe('written');
        expect(await store.write({ ...batch, puts: [put(`${at}a`, 'other'), put(`${at}c`)] })).toEqual({ type: 'refused' });
        expect(await list(at)).toEqual(['a', 'b']);
        await written({ deletes: [`${at}a`] });
        expect((await store.write({ compares: batch.compares! })).type).toBe('written');
      });

      it('of many at once, exactly one creates an absent key', async () => {
        for (const key of [`${folder()}one`, `live/${folder()}one`]) {
          const results = await Promise.all(Array.from({ length: 20 }, (_, index) =>
            store.write({ compares: [{ type: 'absent', key }], puts: [put(key, String(index))] })));
          const winner = results.findIndex(({ type }) => type === 'written');
          expect(results.filter(({ type }) => type === 'written')).toHaveLength(1);
          expect(await read(key)).toEqual([String(winner)]);
        }
      });

      it('"created" holds for the revision that created the key, whoever has replaced it since', async () => {
        const at = folder();
        const key = `live/${at}leader`;
        const created = await written({ puts: [put(key, '1')] });
        const fenced = (revision: number, value: string) =>
          store.write({ compares: [{ type: 'created', key, revision }], puts: [put(`${at}data`, value)] });
        await written({ puts: [put(key, '2')] });
        expect((await fenced(created, 'kept')).type).toBe('written');
        await written({ deletes: [key] });
        expect(await fenced(created, 'no key')).toEqual({ type: 'refused' });
        const again = await written({ puts: [put(key)] });
        expect(again).toBeGreaterThan(created);
        expect(await fenced(created, 'old key')).toEqual({ type: 'refused' });
        expect(await read(`${at}data`)).toEqual(['kept']);
      });

      it('every write made under a leader\'s key is settled before its successor\'s key is there', async () => {
        const at = folder();
        const key = `live/${at}leader`;
        const old = await store.grantLease(LEASE_MS);
        const created = await written({ puts: [{ key, value: Buffer.from('old'), lease: old }] });
        const late = Array.from({ length: 50 }, (_, index) =>
          store.write({ compares: [{ type: 'created', key, revision: created }], puts: [put(`${at}${index}`)] }));
        const revoked = old.revoke();
        const takeOver = async (): Promise<void> => {
          await revoked;
          await written({ compares: [{ type: 'absent', key }], puts: [put(key, 'new')] });
        };
        await takeOver();
        const seen = await list(at);
        const results = await Promise.all(late);
        expect(seen).toHaveLength(results.filter(({ type }) => type === 'written').length);
        expect(await list(at)).toEqual(seen);
      });
    });

    describe('leases', () => {
      it('a revoked lease takes its keys with it, and only them', async () => {
        const mine = await store.grantLease(LEASE_MS);
        const at = `live/${folder()}`;
        await written({ puts: [{ key: `${at}a`, value: Buffer.from('1'), lease: mine }, put(`${at}b`)] });
        await mine.renew();
        await mine.revoke();
        expect(await list(at)).toEqual(['b']);
        await expect(mine.renew()).rejects.toThrow(LeaseLost);
        await mine.revoke();
      });

      it('a write under a lease that has ended is refused as such and changes nothing', async () => {
        const mine = await store.grantLease(LEASE_MS);
        await mine.revoke();
        const at = folder();
        await expect(store.write({ puts: [put(`${at}a`), { key: `live/${at}b`, value: Buffer.from('1'), lease: mine }] })).rejects.toThrow(LeaseLost);
        expect(await read(`${at}a`, `live/${at}b`)).toEqual([undefined, undefined]);
      });

      it('a key that another lease has taken over stays when the first lease ends', async () => {
        const first = await store.grantLease(LEASE_MS);
        const key = `live/${folder()}a`;
        await written({ puts: [{ key, value: Buffer.from('1'), lease: first }] });
        await written({ puts: [put(key, '2')] });
        await first.revoke();
        expect(await read(key)).toEqual(['2']);
      });

      it('refuses a time to live below a second', async () => {
        await expect(store.grantLease(999)).rejects.toThrow(InvalidStoreRequest);
      });
    });

    describe('watching', () => {
      it('starts with a snapshot that has create revisions, then tells every change in order', async () => {
        const at = `live/${folder()}`;
        const created = await written({ puts: [put(`${at}a`, '1'), put(`${at}b`, '1')] });
        const { snapshots, events, watch } = follow(store, at);
        await expect.poll(() => snapshots.length, WAIT).toBe(1);
        expect([...snapshots[0]!].map(([key, { value, createRevision }]) => [key, text(value), createRevision])).toEqual([
          [`${at}a`, '1', created],
          [`${at}b`, '1', created],
        ]);
        await written({ puts: [put(`${at}a`, '2')] });
        const second = await written({ puts: [put(`${at}c`, '3')], deletes: [`${at}b`] });
        await written({ puts: [put(`live/elsewhere/${at}`)] });
        await written({ deleteRanges: [prefixRange(at)] });
        await expect.poll(() => events.length, WAIT).toBe(5);
        const shown = events.map((event) => (event.type === 'put' ? `${event.key}=${text(event.value)}@${event.createRevision}` : event.key));
        // Within one write no order is promised.
        expect(shown[0]).toBe(`${at}a=2@${created}`);
        expect(shown.slice(1, 3).sort((a, b) => a.localeCompare(b))).toEqual([`${at}b`, `${at}c=3@${second}`]);
        expect(shown.slice(3).sort((a, b) => a.localeCompare(b))).toEqual([`${at}a`, `${at}c`]);
        watch.close();
      });

      it('tells the end of keys whose lease was revoked', async () => {
        const mine = await store.grantLease(LEASE_MS);
        const at = `live/${folder()}`;
        await written({ puts: [{ key: `${at}a`, value: Buffer.from('1'), lease: mine }] });
        const { snapshots, events, watch } = follow(store, at);
        await expect.poll(() => snapshots.length, WAIT).toBe(1);
        await mine.revoke();
        await expect.poll(() => events, WAIT).toEqual([{ type: 'delete', key: `${at}a` }]);
        watch.close();
      });

      it('tells nothing after it was closed, and nothing from inside the call', async () => {
        const at = `live/${folder()}`;
        const { snapshots, events, watch } = follow(store, at);
        expect(snapshots).toEqual([]);
        const other = follow(store, at);
        watch.close();
        await expect.poll(() => other.snapshots.length, WAIT).toBe(1);
        await written({ puts: [put(`${at}a`)] });
        await expect.poll(() => other.events.length, WAIT).toBe(1);
        expect([snapshots, events]).toEqual([[], []]);
        other.watch.close();
      });
    });

    describe('limits', () => {
      const many = (count: number, at: string): Put[] => Array.from({ length: count }, (_, index) => put(at + index));

      it('takes at least what every engine takes', () => {
        expect(store.limits.operations).toBeGreaterThanOrEqual(WRITE_LIMITS.operations);
        expect(store.limits.compares).toBeGreaterThanOrEqual(WRITE_LIMITS.compares);
        expect(store.limits.bytes).toBeGreaterThanOrEqual(WRITE_LIMITS.bytes);
      });

      it('takes as many operations as the limit says, and not one more', async () => {
        const at = folder();
        await written({ puts: many(store.limits.operations, at) });
        await expect(store.write({ puts: many(store.limits.operations, at), deletes: [`${at}x`] })).rejects.toThrow(WriteLimitExceeded);
        await expect(store.write({ compares: many(store.limits.compares + 1, at).map(({ key }) => ({ type: 'absent', key })) })).rejects.toThrow(WriteLimitExceeded);
      });

      it('takes the longest batch that the limits allow, and not one byte more', async () => {
        const at = folder();
        const keys = Array.from({ length: store.limits.operations }, (_, index) => `${at}${index}-`.padEnd(MAX_KEY_BYTES, 'k'));
        const compares = Array.from({ length: 100 }, (_, index) => ({ type: 'absent' as const, key: `${at}c${index}-`.padEnd(MAX_KEY_BYTES, 'c') }));
        const bare = { compares, puts: keys.map((key) => ({ key, value: Buffer.alloc(0) })) };
        const room = store.limits.bytes - batchBytes(bare);
        const fill = (bytes: number): WriteBatch => ({ ...bare, puts: [{ key: keys[0]!, value: Buffer.alloc(bytes, 1) }, ...bare.puts.slice(1)] });
        await expect(store.write(fill(room + 1))).rejects.toThrow(WriteLimitExceeded);
        await written(fill(room));
      });

      it('takes keys as long as the limit says in UTF-8, and not one byte more', async () => {
        const at = folder();
        const longest = at + 'é'.repeat(Math.floor((MAX_KEY_BYTES - at.length) / 2));
        await written({ puts: [{ key: longest, value: Buffer.from('1') }] });
        expect(await read(longest)).toEqual(['1']);
        await expect(store.write({ puts: [{ key: `${longest}éé`, value: Buffer.from('1') }] })).rejects.toThrow(WriteLimitExceeded);
      });

      it('refuses a key named twice, in whatever way', async () => {
        const at = folder();
        const range = { from: `${at}a`, to: `${at}m` };
        const twice: WriteBatch[] = [
          { puts: [put(`${at}a`), put(`${at}b`), put(`${at}a`)] },
          { puts: [put(`${at}a`)], deletes: [`${at}a`] },
          { deletes: [`${at}a`, `${at}a`] },
          { puts: [put(`${at}b`)], deleteRanges: [range] },
          { deletes: [`${at}b`], deleteRanges: [range] },
          { deleteRanges: [range, { from: `${at}l`, to: `${at}n` }] },
        ];
        for (const batch of twice) await expect(store.write(batch)).rejects.toThrow(DuplicateKey);
        expect(await list(at)).toEqual([]);
        await written({ puts: [put(`${at}m`)], deleteRanges: [range, { from: `${at}n`, to: `${at}o` }] });
      });

      it('refuses keys and leases that break the rules', async () => {
        const wrong: (() => Promise<unknown>)[] = [
          () => store.get(['']),
          () => store.get(['half \ud800 pair']),
          () => store.write({ puts: [{ key: '', value: Buffer.alloc(0) }] }),
          () => store.write({ deletes: ['\udfff'] }),
          () => store.write({ puts: [{ key: 'live/no-lease', value: Buffer.alloc(0) }] }),
          () => store.write({ puts: [{ key: 'elsewhere', value: Buffer.alloc(0), lease }] }),
          () => store.write({ compares: [{ type: 'created', key: 'elsewhere', revision: 1 }] }),
          () => store.scan(prefixRange('a'), { limit: 0 }),
          () => store.scan({ from: '', to: 'a' }, { limit: 1 }),
        ];
        for (const call of wrong) await expect(call()).rejects.toThrow(InvalidStoreRequest);
        expect(() => store.watch({ from: 'a', to: 'z' }, { onSnapshot: () => undefined, onEvents: () => undefined })).toThrow(InvalidStoreRequest);
      });
    });

    it('does what a simple model does, whatever the batches', async () => {
      await fc.assert(
        fc.asyncProperty(arbitraryBatches, async (batches) => {
          const at = folder();
          const model = new ModelStore();
          for (const batch of batches) {
            const placed = batch.under(at, lease);
            expect((await store.write(placed)).type).toBe(model.write(placed));
          }
          for (const prefix of [at, `live/${at}`]) {
            const { entries } = await store.scan(prefixRange(prefix), { limit: 1000 });
            expect(entries.map(({ key, value }) => [key, text(value)])).toEqual(model.list(prefix));
            const first = await store.scan(prefixRange(prefix), { limit: 2, reverse: true });
            expect(first.entries.map(({ key }) => key)).toEqual(model.list(prefix).map(([key]) => key).reverse().slice(0, 2));
          }
        }),
        { numRuns: 60 },
      );
    });

    it('reports its size, compacts, and once closed refuses every call', async () => {
      const mine = await open();
      await mine.write({ puts: [{ key: 'a', value: Buffer.alloc(100) }] });
      expect((await mine.size()).usedBytes).toBeGreaterThan(0);
      await mine.compact();
      await mine.compact();
      await mine.close();
      for (const call of [() => mine.get(['a']), () => mine.write({ deletes: ['a'] }), () => mine.grantLease(LEASE_MS), () => mine.size()]) {
        await expect(call()).rejects.toThrow(StoreUnavailable);
      }
    });
  });
}

function follow(store: Store, prefix: string) {
  const snapshots: ReadonlyMap<string, { readonly value: Uint8Array; readonly createRevision: number }>[] = [];
  const events: WatchEvent[] = [];
  const watch = store.watch(prefixRange(prefix), {
    onSnapshot: (entries) => snapshots.push(entries),
    onEvents: (more) => events.push(...more),
  });
  return { snapshots, events, watch };
}
