/**
 * Follows a range: a snapshot at one revision, then every change after it. Whatever ends the stream (a
 * lost connection, a compaction, a member without a leader, new certificates) is answered with a new
 * snapshot, so nothing is missed for good.
 */
import { delay, type Clock } from '../clock.ts';
import type { EtcdConnection, Stream } from './etcd-connection.ts';
import type { EtcdKeys, KeyValue, RangeResponse } from './etcd-keys.ts';
import type { Range, Watch, WatchEvent, WatchHandlers } from './store.ts';

const SNAPSHOT_PAGE = 1000;
const FIRST_BACKOFF_MS = 50;
const LONGEST_BACKOFF_MS = 2000;

interface WatchRequest {
  readonly create_request: { key: Buffer; range_end: Buffer; start_revision: string; progress_notify: boolean };
}

interface WatchResponse {
  readonly canceled: boolean;
  readonly events: readonly { readonly type: 'Put' | 'Delete'; readonly kv: KeyValue }[];
}

type Snapshot = Map<string, { value: Uint8Array; createRevision: number }>;

export class EtcdWatch implements Watch {
  readonly #connection: EtcdConnection;
  readonly #keys: EtcdKeys;
  readonly #range: Range;
  readonly #handlers: WatchHandlers;
  readonly #clock: Clock;
  readonly #stopListening: () => void;
  #stream: Stream<WatchRequest, WatchResponse> | undefined;
  #closed = false;

  constructor(connection: EtcdConnection, keys: EtcdKeys, range: Range, handlers: WatchHandlers, clock: Clock) {
    this.#connection = connection;
    this.#keys = keys;
    this.#range = range;
    this.#handlers = handlers;
    this.#clock = clock;
    this.#stopListening = connection.onMove(() => this.#endStream());
    void this.#run();
  }

  close(): void {
    this.#closed = true;
    this.#stopListening();
    this.#endStream();
  }

  #endStream(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.cancel();
  }

  async #run(): Promise<void> {
    let backoffMs = FIRST_BACKOFF_MS;
    while (!this.#closed) {
      const read = await this.#readAll().catch(() => undefined);
      if (this.#closed) return;
      if (read !== undefined) {
        backoffMs = FIRST_BACKOFF_MS;
        this.#handlers.onSnapshot(read.snapshot);
        await this.#follow(read.revision + 1);
      }
      if (this.#closed) return;
      await delay(this.#clock, backoffMs * Math.random());
      backoffMs = Math.min(backoffMs * 2, LONGEST_BACKOFF_MS);
    }
  }

  async #readAll(): Promise<{ snapshot: Snapshot; revision: number }> {
    const snapshot: Snapshot = new Map();
    const { key: from, range_end } = this.#keys.range(this.#range);
    let key = from;
    let revision: string | undefined;
    for (;;) {
      const page: RangeResponse = await this.#connection.call<RangeResponse>(
        'KV',
        'range',
        { key, range_end, limit: SNAPSHOT_PAGE, ...(revision === undefined ? {} : { revision }) },
        { read: true },
      );
      revision ??= page.header.revision;
      for (const pair of page.kvs) {
        snapshot.set(this.#keys.decode(pair.key), { value: pair.value, createRevision: Number(pair.create_revision) });
      }
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) return { snapshot, revision: Number(revision) };
      // The least key above the last one.
      key = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  /** Resolves when the stream has ended, for whatever reason. */
  async #follow(revision: number): Promise<void> {
    const opened = await this.#connection.stream<WatchRequest, WatchResponse>('Watch', 'watch').catch(() => undefined);
    if (opened === undefined) return;
    const { stream, endpoint } = opened;
    this.#stream = stream;
    await new Promise<void>((resolve) => {
      stream.on('data', (response) => {
        if (response.canceled) {
          resolve();
          return;
        }
        if (response.events.length > 0 && !this.#closed) this.#handlers.onEvents(response.events.map((event: WatchResponse["events"][number]) => this.#toEvent(event)));
      });
      stream.on('end', () => resolve());
      stream.on('error', (error) => {
        // Cancelled by ourselves: that says nothing about the endpoint.
        if (this.#stream === stream) this.#connection.streamFailed(endpoint, error);
        resolve();
      });
      stream.write({ create_request: { ...this.#keys.range(this.#range), start_revision: String(revision), progress_notify: true } });
      if (this.#closed) resolve();
    });
    this.#endStream();
  }

  #toEvent({ type, kv }: WatchResponse['events'][number]): WatchEvent {
    const key = this.#keys.decode(kv.key);
    return type === 'Delete' ? { type: 'delete', key } : { type: 'put', key, value: kv.value, createRevision: Number(kv.create_revision) };
  }
}
