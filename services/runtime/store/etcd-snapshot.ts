/** A cluster's keys in etcd at one revision. */
import { StoreUnavailable } from './errors.ts';
import { EtcdFailed, type EtcdConnection } from './etcd-connection.ts';
import type { EtcdKeys, RangeResponse } from './etcd-keys.ts';
import { reasonOf } from './etcd-lease.ts';
import { liveRange } from './keys.ts';
import type { Snapshot } from './snapshot.ts';
import type { Entry, Range } from './store.ts';

/** Most keys of a page; how many it has follows from the size of those before. */
const LARGEST_PAGE = 1000;
const FIRST_PAGE = 50;
const PAGE_BYTES = 4 * 2 ** 20;
const PARTS: readonly Range[] = [{ from: '\0', to: liveRange.from }, { from: liveRange.to, to: '\u{10ffff}' }];

export interface EtcdSnapshotOptions {
  readonly connection: EtcdConnection;
  readonly keys: EtcdKeys;
  readonly description: string;
  /** Called when it is closed. */
  onClose(): Promise<void>;
}

/** @throws StoreUnavailable */
export async function takeEtcdSnapshot({ connection, keys, description, onClose }: EtcdSnapshotOptions): Promise<Snapshot> {
  const read = async (payload: object): Promise<RangeResponse> => {
    try {
      return await connection.call<RangeResponse>('KV', 'range', payload, { read: true });
    } catch (error) {
      const compacted = error instanceof EtcdFailed && error.failure.type === 'compacted';
      const hint = compacted ? '; its servers compact every minute: take a snapshot of etcd itself (etcdctl snapshot save)' : '';
      throw new StoreUnavailable(`${description}: the backup was not read to its end: ${reasonOf(error)}${hint}`, { cause: error });
    }
  };
  const { header } = await read({ key: keys.encode('\0'), count_only: true });
  const { revision } = header;
  async function* scan(range: Range): AsyncGenerator<readonly Entry[]> {
    for (let { from } = range, limit = FIRST_PAGE; ; ) {
      const { kvs, more } = await read({ ...keys.range({ from, to: range.to }), revision, limit });
      const bytes = kvs.reduce((sum, { value }) => sum + value.length, 0);
      limit = Math.max(1, Math.min(LARGEST_PAGE, Math.floor((limit * PAGE_BYTES) / Math.max(bytes, PAGE_BYTES / 2))));
      if (kvs.length > 0) yield kvs.map(({ key, value }) => ({ key: keys.decode(key), value }));
      if (!more || kvs.length === 0) return;
      from = `${keys.decode(kvs.at(-1)!.key)}\0`;
    }
  }
  return {
    engine: 'etcd',
    description,
    revision: Number(revision),
    get: async (key) => (await read({ key: keys.encode(key), revision })).kvs[0]?.value,
    async *pages() {
      for (const part of PARTS) yield* scan(part);
    },
    close: onClose,
  };
}
