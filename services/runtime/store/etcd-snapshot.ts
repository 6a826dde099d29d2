/** A cluster's keys in etcd at one revision. */
import { StoreUnavailable } from './errors.ts';
import { EtcdFailed, type EtcdConnection } from './etcd-connection.ts';
import type { EtcdKeys, RangeResponse } from './etcd-keys.ts';
import { reasonOf } from './etcd-lease.ts';
import { liveRange } from './keys.ts';
import { after, readPages, type PageReader } from './pages.ts';
import type { Snapshot } from './snapshot.ts';
import { prefixRange, type Entry, type Range, type ScanResult } from './store.ts';

/** Most keys of the first page of a kind of record. */
const FIRST_PAGE = 16;
/** Nobody waits for a backup, and what it reads is as fast as etcd's disk. */
const READ_MS = 30_000;
/** A partition's records of one kind, which are more or less of one size: "data/queue/0003/message/". */
const KIND = /^data\/[^/]+\/[^/]+\/[^/]+\//;
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
      return await connection.call<RangeResponse>('KV', 'range', payload, { read: true, timeoutMs: READ_MS });
    } catch (error) {
      const compacted = error instanceof EtcdFailed && error.failure.type === 'compacted';
      const hint = compacted ? '; its servers compact every minute: take a snapshot of etcd itself (etcdctl snapshot save)' : '';
      throw new StoreUnavailable(`${description}: the backup was not read to its end: ${reasonOf(error)}${hint}`, { cause: error });
    }
  };
  const { header } = await read({ key: keys.encode('\0'), count_only: true });
  const { revision } = header;
  const reader: PageReader = {
    first: FIRST_PAGE,
    async read(range: Range, limit: number): Promise<ScanResult> {
      const { kvs, more } = await read({ ...keys.range(range), revision, limit });
      return { entries: kvs.map(({ key, value }) => ({ key: keys.decode(key), value })), more };
    },
    // Of what was not executed the servers were not there, or refused.
    mayBeTooLarge: (error) => error instanceof StoreUnavailable && error.cause instanceof EtcdFailed && error.cause.failure.type === 'unknown',
  };
  /** Begins small where other records begin: what came before says nothing of their size. */
  async function* scan({ from, to }: Range): AsyncGenerator<readonly Entry[]> {
    for (;;) {
      let last: string | undefined;
      for await (const page of readPages({ from, to }, reader)) {
        yield page;
        last = page.at(-1)!.key;
        if (KIND.test(last)) break;
      }
      const kind = last === undefined ? undefined : KIND.exec(last)?.[0];
      if (last === undefined || kind === undefined) return;
      const { to: end } = prefixRange(kind);
      yield* readPages({ from: after(last), to: end }, reader);
      from = end;
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
