/** Every version of every key that ever stood in the store. */

import type { ChangeRecord, KeyRecord, VersionRecord } from '../../../services/kernel/keyvalue/types.ts';
import { textCodec } from '../../../services/participant/codec-keyvalue.ts';
import type { History } from '../history.ts';
import type { DurableWrite, Follower, PutRecord } from '../world/follower.ts';
import { COLLECTION } from './operations.ts';

interface Found {
  readonly name: string;
  readonly version: number;
  /** Undefined: only another record has it. */
  readonly value?: string;
}

export class Versions implements Follower {
  private readonly history: History;

  constructor(history: History) {
    this.history = history;
  }

  onWritten({ service, puts, atMs }: DurableWrite): void {
    if (service.kind !== 'key-value') return;
    const bare: Found[] = [];
    for (const record of puts) {
      for (const found of versionsIn(record)) {
        const name = `${service.name}/${found.name}`;
        if (found.value === undefined) bare.push({ ...found, name });
        else this.note(name, found.version, found.value, atMs);
      }
    }
    for (const { name, version } of bare) {
      if (!this.history.versionsOf(name).some((one) => one.version === version)) this.history.hide(name, version);
    }
  }

  private note(name: string, version: number, value: string, atMs: number): void {
    const versions = this.history.versions.get(name) ?? [];
    this.history.versions.set(name, versions);
    const known = versions.find((one) => one.version === version);
    if (known?.value !== value) versions.push({ version, value, atMs });
  }
}

/** The versions that a record tells of. */
function* versionsIn({ key, decode }: PutRecord): Generator<Found> {
  if (key.startsWith('change/')) {
    for (const { name, version } of (decode() as ChangeRecord).changes) yield { name: keyIn(name), version };
  } else if (key.startsWith('key/')) {
    const record = decode() as KeyRecord;
    if (record.value !== undefined) yield { name: keyIn(key.slice('key/'.length)), version: record.version, value: text(record.value) };
  } else if (key.startsWith('version/')) {
    const record = decode() as VersionRecord;
    const name = key.slice('version/'.length, key.indexOf('\0'));
    if (record.value !== undefined) yield { name: keyIn(name), version: record.version, value: text(record.value) };
  }
}

const text = textCodec.decode;
const keyIn = (name: string): string => name.slice(COLLECTION.length + 1);
