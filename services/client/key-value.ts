/** The keys of a key-value participant, outside of transactions and inside of interactive ones. */

import {
  Consistency as WireConsistency,
  KeyValueServiceService as methods,
  type PartitionRevision,
} from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Attempt } from '../kernel/attempt.ts';
import { entryFrom, type Entry } from './entry.ts';
import { newTransactionId } from './ids.ts';
import { routingKeyOf, typedValue, wireMergePolicy, wirePrecondition, type DeleteOptions, type PutOptions, type Value } from './operations.ts';
import type { CallOptions } from './options.ts';
import type { Rpc, RpcOptions } from './rpc.ts';
import { watch } from './watch.ts';

/**
 * How fresh a read must be: `linearizable` (the default) sees all that was committed before, and waits
 * for a transaction that holds the key; `eventual` takes the last committed version at once.
 */
export type Consistency = 'linearizable' | 'eventual';

export interface ReadOptions extends CallOptions {
  readonly consistency?: Consistency;
}

export interface BatchReadOptions extends CallOptions {
  /** `serializable`: the keys as they all were at one moment. */
  readonly consistency?: Consistency | 'serializable';
}

export interface WriteOptions extends CallOptions {
  /** UUIDv7 that makes a repetition of this write by the caller safe. Default: a new one. */
  readonly requestId?: string;
}

export interface ScanOptions extends CallOptions {
  /** Only keys that begin with this. */
  readonly prefix?: string;
  /** Keys fetched at a time, 1 to 1000. Default 100. */
  readonly pageSize?: number;
}

export interface WatchOptions {
  readonly signal?: AbortSignal;
  /** Only keys that begin with this. */
  readonly prefix?: string;
  /**
   * Continue after these revisions: the latest `position` of each partition that was seen, as
   * `after.set(position.partition, position.revision)` collects them. A partition that is not in it starts with
   * what happens from now on.
   */
  readonly after?: ReadonlyMap<number, number>;
}

/** One change of a key. */
export interface KeyEvent {
  readonly collection: string;
  readonly key: string;
  /** The key after the change. Undefined: it was deleted. */
  readonly entry: Entry | undefined;
  /** The key's version after this change. */
  readonly version: number;
  /** The value is left out because it was replaced since; a later event brings the newer one. */
  readonly superseded: boolean;
  /** Where to continue a watch after this event; only on the last event of a batch. */
  readonly position?: { readonly partition: number; readonly revision: number };
}

/** The interactive transaction that a call belongs to. */
export interface TransactionContext {
  readonly transactionId: string;
  readonly attempt: Attempt;
}

const CONSISTENCY = {
  linearizable: WireConsistency.LINEARIZABLE,
  eventual: WireConsistency.EVENTUAL,
  serializable: WireConsistency.SERIALIZABLE,
} as const;
const wireConsistency = (consistency: keyof typeof CONSISTENCY | undefined) =>
  consistency === undefined ? WireConsistency.UNSPECIFIED : CONSISTENCY[consistency];

/** A key as it is, with the version to require of it, which an absent key has too. */
export interface Read {
  readonly entry: Entry | undefined;
  readonly version: number;
}

export async function readKey(
  rpc: Rpc,
  participant: string,
  collection: string,
  key: string,
  { consistency, signal, timeoutMs }: ReadOptions,
  transaction?: TransactionContext,
): Promise<Read> {
  const request = { participant, collection, key, consistency: wireConsistency(consistency), transaction };
  const route = { service: participant, routingKey: routingKeyOf(key) };
  const { entry } = await rpc.call(methods.get, request, { signal, timeoutMs, route });
  return { entry: entryFrom(participant, entry), version: entry?.version ?? 0 };
}

/** A collection of keys. Keys: 1 to 1024 bytes of UTF-8. Values: at most 1 MiB. */
export class Collection {
  readonly participant: string;
  readonly name: string;
  private readonly rpc: Rpc;
  private readonly transaction: TransactionContext | undefined;

  constructor(rpc: Rpc, participant: string, name: string, transaction?: TransactionContext) {
    this.rpc = rpc;
    this.participant = participant;
    this.name = name;
    this.transaction = transaction;
  }

  /** The key, or undefined if it is absent. */
  async get(key: string, options: ReadOptions = {}): Promise<Entry | undefined> {
    return (await readKey(this.rpc, this.participant, this.name, key, options, this.transaction)).entry;
  }

  /** The keys in the order asked for, 1 to 1000; undefined for those that are absent. */
  async batchGet(keys: readonly string[], options: BatchReadOptions = {}): Promise<(Entry | undefined)[]> {
    const { participant, name: collection } = this;
    const consistency = wireConsistency(options.consistency);
    const request = { participant, keys: keys.map((key) => ({ collection, key })), consistency };
    const { entries } = await this.rpc.call(methods.batchGet, request, this.routed(keys[0] ?? '', options));
    return entries.map((entry) => entryFrom(participant, entry));
  }

  /**
   * Writes a key and returns its new version; 0 within an interactive transaction.
   * @throws TransactionAborted if the precondition does not hold, with the conflict
   * @throws OutcomeUnknown if no answer arrived in time
   */
  async put(key: string, value: Value, options: PutOptions & WriteOptions = {}): Promise<number> {
    const requestId = this.requestId(options);
    const request = {
      ...this.writeOf(key, options, requestId),
      ...typedValue(value),
      mergePolicy: wireMergePolicy(options.merge),
    };
    const { version } = await this.rpc.call(methods.put, request, { ...this.routed(key, options), transactionId: requestId });
    return version;
  }

  /** Deletes a key and returns the revision of the deletion; 0 if it was absent. Errors as in {@link put}. */
  async delete(key: string, options: DeleteOptions & WriteOptions = {}): Promise<number> {
    const requestId = this.requestId(options);
    const request = this.writeOf(key, options, requestId);
    const { version } = await this.rpc.call(methods.delete, request, { ...this.routed(key, options), transactionId: requestId });
    return version;
  }

  /** The keys that exist, in the order of their UTF-8 bytes. Not a snapshot: each page is read when it is needed. */
  async *scan({ prefix = '', pageSize = 0, ...options }: ScanOptions = {}): AsyncGenerator<Entry, void, undefined> {
    const { participant, name: collection } = this;
    let pageToken = '';
    do {
      const page = await this.rpc.call(methods.scan, { participant, collection, prefix, pageSize, pageToken }, options);
      for (const entry of page.entries) {
        const found = entryFrom(participant, entry);
        if (found !== undefined) yield found;
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** Earlier versions, newest first, the current one included; undefined stands for a deletion. */
  async versions(key: string, options: CallOptions = {}): Promise<(Entry | undefined)[]> {
    const { participant, name: collection } = this;
    const { versions } = await this.rpc.call(methods.listVersions, { participant, collection, key }, this.routed(key, options));
    return versions.map((entry) => entryFrom(participant, entry));
  }

  /**
   * Changes of the collection's keys as they are committed, in order within a partition. Goes on by
   * itself after a lost connection, without gaps.
   * @throws PositionCompacted if a revision to continue after is no longer kept
   */
  async *watch({ signal, prefix = '', after }: WatchOptions = {}): AsyncGenerator<KeyEvent, void, undefined> {
    const { participant, name: collection, rpc } = this;
    const positions = new Map(after);
    const revisions = (): PartitionRevision[] => [...positions].map(([partition, revision]) => ({ partition, revision }));
    const responses = watch(rpc, {
      what: `the watch of ${participant}/${collection}`,
      signal,
      address: () => rpc.map.route(participant, prefix),
      open: (address) => rpc.stream(methods.watch, { participant, collection, prefix, revisions: revisions() }, address),
    });
    for await (const { events, revision: position } of responses) {
      for (const [i, { entry, superseded }] of events.entries()) {
        const { collection, key, version } = entry!;
        const last = i === events.length - 1 && position !== undefined;
        yield { collection, key, entry: entryFrom(participant, entry), version, superseded, ...(last && { position }) };
      }
      if (position !== undefined) positions.set(position.partition, position.revision);
    }
  }

  private routed(key: string, { signal, timeoutMs }: CallOptions): RpcOptions {
    return { signal, timeoutMs, route: { service: this.participant, routingKey: routingKeyOf(key) } };
  }

  /** Repeating a write in an interactive transaction changes nothing, so it needs no id of its own. */
  private requestId({ requestId }: WriteOptions): string | undefined {
    return this.transaction === undefined ? (requestId ?? newTransactionId()) : undefined;
  }

  private writeOf(key: string, { precondition }: DeleteOptions, requestId: string | undefined) {
    const { participant, name: collection, transaction } = this;
    return { participant, collection, key, precondition: wirePrecondition(precondition), requestId: requestId ?? '', transaction };
  }
}

/** A key-value participant. */
export class KeyValue {
  private readonly rpc: Rpc;
  private readonly participant: string;
  private readonly transaction: TransactionContext | undefined;

  constructor(rpc: Rpc, participant: string, transaction?: TransactionContext) {
    this.rpc = rpc;
    this.participant = participant;
    this.transaction = transaction;
  }

  /** @param name 1 to 64 characters of a-z, A-Z, 0-9, '_', '-' and '.' */
  collection(name: string): Collection {
    return new Collection(this.rpc, this.participant, name, this.transaction);
  }
}
