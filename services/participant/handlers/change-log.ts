/** A participant partition's log of changes in the store, read for watchers. */

import { CHANGE_PREFIX, changeKey, KEPT_KEY, recordKey, versionKey } from '../../kernel/keyvalue/keys.ts';
import type { ChangeRecord, KeyChange, KeyEntry, KeyRecord, VersionRecord } from '../../kernel/keyvalue/types.ts';
import { partitionPrefix } from '../../runtime/cluster/keys.ts';
import { prefixRange } from '../../runtime/store/store.ts';
import type { KeyValueServices } from './service.ts';

type Records = Pick<KeyValueServices, 'store' | 'codec' | 'view'>;

/** Change records that are read at a time. */
const PAGE = 64;

/** What one batch changed, up to its highest revision. */
export interface LoggedChanges {
  readonly revision: number;
  readonly changes: readonly KeyChange[];
}

/** A change with what can still be told of its value; undefined: replaced since, and not kept. */
export interface ReplayedChange {
  readonly change: KeyChange;
  readonly entry: KeyEntry | undefined;
}

/** The batches after a revision, oldest first. */
export async function readChanges(
  { store, codec }: Records,
  participant: string,
  partition: number,
  after: number,
): Promise<readonly LoggedChanges[]> {
  const prefix = partitionPrefix(participant, partition);
  const range = { from: prefix + changeKey(after + 1), to: prefixRange(prefix + CHANGE_PREFIX).to };
  const { entries } = await store.scan(range, { limit: PAGE });
  return entries.map(({ key, value }) => {
    const record = codec.decode(key.slice(prefix.length), value) as ChangeRecord;
    return { revision: parseInt(key.slice(prefix.length + CHANGE_PREFIX.length), 16), changes: record.changes };
  });
}

/**
 * The highest revision whose changes can't be told any more: they are removed, or from before the cluster was
 * restored, when there were others that are gone (invariant P10).
 */
export async function compactedThrough({ store, codec, view }: Records, participant: string, partition: number): Promise<number> {
  const [value] = await store.get([partitionPrefix(participant, partition) + KEPT_KEY]);
  const record = value === undefined ? undefined : codec.decode(KEPT_KEY, value);
  return Math.max(record?.type === 'kept' ? record.changesThrough : 0, view.numbersAbove);
}

/** The values that the changes brought, as far as they are kept. */
export async function replay(
  records: Records,
  participant: string,
  partition: number,
  changes: readonly KeyChange[],
): Promise<readonly ReplayedChange[]> {
  const prefix = partitionPrefix(participant, partition);
  const read = async <Stored>(keys: readonly string[]): Promise<(Stored | undefined)[]> => {
    const values = keys.length === 0 ? [] : await records.store.get(keys.map((key) => prefix + key));
    return values.map((value, i) => (value === undefined ? undefined : (records.codec.decode(keys[i]!, value) as Stored)));
  };
  const living = changes.filter(({ deleted }) => !deleted);
  const current = await read<KeyRecord>(living.map(({ name }) => recordKey(name)));
  const versions = await read<VersionRecord>(living.map(({ name, version }) => versionKey(name, version)));
  const entries = new Map<KeyChange, KeyEntry | undefined>(
    living.map((change, i) => {
      const key = current[i]?.version === change.version && !current[i].apart ? current[i] : undefined;
      return [change, entryOf(change, key ?? versions[i])];
    }),
  );
  return changes.map((change) => {
    const { name, version } = change;
    const absent = { name, value: undefined, contentType: '', version, updateMs: 0 };
    return { change, entry: change.deleted ? absent : entries.get(change) };
  });
}

function entryOf({ name, version }: KeyChange, record: KeyRecord | VersionRecord | undefined): KeyEntry | undefined {
  if (record?.value === undefined) return undefined;
  return { name, version, value: record.value, contentType: record.contentType, updateMs: record.updateMs };
}
