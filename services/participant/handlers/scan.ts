/**
 * Scan: every partition is asked for the next keys, and the answers are merged in the order of the
 * keys' UTF-8 bytes. At its leader a partition waits until nobody holds a key of the range, so that
 * what was committed before the call is there, and then reads the store.
 */

import { type Entry, KeyValueServiceService, type ScanRequest, type ScanResponse } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { nameOf, recordKey, versionKey } from '../../kernel/keyvalue/keys.ts';
import type { KeyRecord, VersionRecord } from '../../kernel/keyvalue/types.ts';
import { partitionPrefix } from '../../runtime/cluster/keys.ts';
import { ask, serviceOfKind, validate, waitUntilMs } from '../../runtime/participant/service.ts';
import { decodePageToken, encodePageToken, pageToken } from '../../runtime/router/page-token.ts';
import { DEFAULT_PAGE_SIZE } from '../../runtime/router/rules.ts';
import { compareKeys } from '../../runtime/store/keys.ts';
import { prefixRange } from '../../runtime/store/store.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import type { KeyValueTerm, KeyValueServices } from './service.ts';
import { scanRequest } from './validate.ts';
import { toEntry } from '../codec-keyvalue.ts';

const PAGE_BYTES = 2 * 1024 * 1024;
/** Of an entry beside its texts and value. */
const ENTRY_BYTES = 32;
/** Records read at a time: few where values may be large. */
const FIRST_READ = 16;
const LARGEST_READ = 256;
/** The partition of a token that goes on in all of them. */
const ALL = -1;

interface Part {
  readonly entries: readonly Entry[];
  /** There are keys beyond the last entry. */
  readonly more: boolean;
}

export async function scan(services: KeyValueServices, request: ScanRequest, context: CallContext): Promise<ScanResponse> {
  const question = `scan ${request.participant} ${request.collection} ${request.prefix}`;
  validate(scanRequest(pageToken(question)), request);
  const { participant } = request;
  const { partitions } = serviceOfKind(services, participant);
  const pageSize = request.pageSize || DEFAULT_PAGE_SIZE;
  const { partition: only, after } = decodePageToken(question, request.pageToken) ?? { partition: ALL, after: '' };
  const asked = only === ALL ? Array.from({ length: partitions }, (_, i) => i) : [only];
  const parts = await Promise.all(
    asked.map(async (partition): Promise<Part> => {
      const part = { ...request, pageSize, pageToken: encodePageToken(question, { partition, after }) };
      const route = { service: participant, partition, method: KeyValueServiceService.scan, request: part, context, changes: false };
      const { entries, nextPageToken } = await services.router.unary(route, async (term) => {
        const here = await scanPartition(services, term, partition, part, after, context);
        return { entries: here.entries as Entry[], nextPageToken: here.more ? 'more' : '' };
      });
      return { entries, more: nextPageToken !== '' };
    }),
  );
  const { entries, more } = mergeParts(parts, pageSize);
  const last = entries.at(-1)?.key ?? after;
  return { entries: [...entries], nextPageToken: more ? encodePageToken(question, { partition: only, after: last }) : '' };
}

/** The first keys of all parts, up to the page's limits, and not beyond what each part has told. */
function mergeParts(parts: readonly Part[], pageSize: number): Part {
  const ends = parts.filter(({ more, entries }) => more && entries.length > 0).map(({ entries }) => entries.at(-1)!.key);
  const end = ends.sort(compareKeys)[0];
  const sorted = parts.flatMap(({ entries }) => entries).sort((a, b) => compareKeys(a.key, b.key));
  const page: Entry[] = [];
  let bytes = 0;
  for (const entry of sorted) {
    bytes += entryBytes(entry);
    const full = page.length === pageSize || (page.length > 0 && bytes > PAGE_BYTES);
    if (full || (end !== undefined && compareKeys(entry.key, end) > 0)) return { entries: page, more: true };
    page.push(entry);
  }
  return { entries: page, more: end !== undefined };
}

async function scanPartition(
  services: KeyValueServices,
  term: KeyValueTerm,
  partition: number,
  { participant, collection, prefix, pageSize }: ScanRequest,
  after: string,
  context: CallContext,
): Promise<Part> {
  await ask(services, term, 'read', context, false, (origin) => ({
    type: 'read',
    origin,
    query: { type: 'prefix' as const, prefix: nameOf(collection, prefix) },
    consistency: 'linearizable',
    deadlineMs: waitUntilMs(services, context),
  }));
  const records = partitionPrefix(participant, partition);
  const base = records + recordKey(nameOf(collection, ''));
  // A prefix need not end in ASCII, so the end of the range is found by looking.
  const { to } = prefixRange(base);
  let from = after === '' ? base + prefix : `${base}${after}\0`;
  let limit = Math.min(pageSize, FIRST_READ);
  const entries: Entry[] = [];
  let bytes = 0;
  for (;;) {
    const read = await services.store.scan({ from, to }, { limit });
    for (const { key, value } of read.entries) {
      if (!key.startsWith(base + prefix)) return { entries, more: false };
      if (entries.length === pageSize || bytes >= PAGE_BYTES) return { entries, more: true };
      const local = key.slice(records.length);
      const entry = await currentEntry(services, records, key.slice(base.length), collection, services.codec.decode(local, value) as KeyRecord);
      if (entry === undefined) continue;
      entries.push(entry);
      bytes += entryBytes(entry);
    }
    const last = read.entries.at(-1);
    if (last === undefined || !read.more) return { entries, more: false };
    from = `${last.key}\0`;
    const average = 1 + bytes / Math.max(1, entries.length);
    limit = Math.max(1, Math.min(LARGEST_READ, Math.floor((PAGE_BYTES - bytes) / average), 2 * limit));
  }
}

/** The key as it is; undefined if it is deleted. */
async function currentEntry(
  { store, codec }: KeyValueServices,
  records: string,
  key: string,
  collection: string,
  record: KeyRecord,
): Promise<Entry | undefined> {
  if (record.deleted) return undefined;
  const name = nameOf(collection, key);
  const { version, updateMs, contentType } = record;
  if (!record.apart) return toEntry({ name, value: record.value, version, updateMs, contentType });
  const apart = versionKey(name, version);
  const [bytes] = await store.get([records + apart]);
  const kept = bytes === undefined ? undefined : (codec.decode(apart, bytes) as VersionRecord);
  // Replaced since the key was read: what is there now comes with the next scan.
  if (kept?.value === undefined) return undefined;
  return toEntry({ name, value: kept.value, version, updateMs, contentType });
}

function entryBytes({ collection, key, value, contentType }: Entry): number {
  return ENTRY_BYTES + collection.length + 3 * key.length + value.length + contentType.length;
}
