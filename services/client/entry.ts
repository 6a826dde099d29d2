/** A key with its value, as it is read. */

import type { Entry as WireEntry } from '../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { timestampMs } from '../runtime/transport/time.ts';

export interface Entry {
  readonly participant: string;
  readonly collection: string;
  readonly key: string;
  readonly value: Uint8Array;
  /** Media type; empty if unknown. */
  readonly contentType: string;
  /** The partition's revision at the last change. 0 for a value that this transaction has yet to write. */
  readonly version: number;
  /** When it was last changed, by the participant's clock. */
  readonly updateTime?: Date;
  /** The value as text (UTF-8). */
  text(): string;
  /**
   * The value as a JSON document; its type is the caller's claim.
   * @throws SyntaxError if it is none
   */
  json<T = unknown>(): T;
}

const decoder = new TextDecoder();

const readers = {
  text(this: { readonly value: Uint8Array }): string {
    return decoder.decode(this.value);
  },
  json<T>(this: { readonly value: Uint8Array }): T {
    return JSON.parse(decoder.decode(this.value)) as T;
  },
};

export function makeEntry(fields: Omit<Entry, 'text' | 'json'>): Entry {
  return Object.assign(Object.create(readers) as typeof readers, fields);
}

/** Undefined if the key is absent. */
export function entryFrom(participant: string, entry: WireEntry | undefined): Entry | undefined {
  if (entry === undefined || entry.absent) return undefined;
  const { collection, key, value, contentType, version, updateTime } = entry;
  return makeEntry({
    participant,
    collection,
    key,
    value,
    contentType,
    version,
    ...(updateTime && { updateTime: new Date(timestampMs(updateTime)) }),
  });
}
