/**
 * The rules that a call of the port must keep, checked once for all engines and before anything is
 * sent, so that what one engine refuses every engine refuses.
 */
import { DuplicateKey, InvalidStoreRequest, WriteLimitExceeded } from './errors.ts';
import { LEASED_PREFIX, MAX_KEY_BYTES, WRITE_LIMITS, type Put, type Range, type ScanOptions, type WriteBatch, type WriteLimits } from './store.ts';
import { compareKeys, isEmptyRange, liveRange } from './keys.ts';

/** A UTF-16 code unit takes at most this many bytes of UTF-8. */
const MAX_BYTES_PER_CODE_UNIT = 3;
/** A lease shorter than this could not be told from a slow store. */
export const MIN_LEASE_TTL_MS = 1000;

/** What a batch counts against the limit on bytes. */
export function batchBytes(batch: WriteBatch): number {
  let bytes = 0;
  for (const put of batch.puts ?? []) bytes += putBytes(put);
  for (const key of batch.deletes ?? []) bytes += Buffer.byteLength(key);
  for (const range of batch.deleteRanges ?? []) bytes += Buffer.byteLength(range.from) + Buffer.byteLength(range.to);
  for (const compare of batch.compares ?? []) bytes += Buffer.byteLength(compare.key);
  return bytes;
}

/** What one put counts against the limit on bytes. */
export function putBytes(put: Put): number {
  return Buffer.byteLength(put.key) + put.value.length;
}

export function validateBatch(batch: WriteBatch, limits: WriteLimits = WRITE_LIMITS): void {
  const { puts = [], deletes = [], deleteRanges = [], compares = [] } = batch;
  const operations = puts.length + deletes.length + deleteRanges.length;
  requireAtMost('operations', operations, limits.operations);
  requireAtMost('compares', compares.length, limits.compares);
  let mostBytes = 0;
  for (const put of puts) {
    validateKey(put.key);
    if (put.key.startsWith(LEASED_PREFIX) !== (put.lease !== undefined)) refuseLease(put);
    mostBytes += put.key.length * MAX_BYTES_PER_CODE_UNIT + put.value.length;
  }
  for (const key of deletes) {
    validateKey(key);
    mostBytes += key.length * MAX_BYTES_PER_CODE_UNIT;
  }
  for (const range of deleteRanges) {
    validateRange(range);
    mostBytes += (range.from.length + range.to.length) * MAX_BYTES_PER_CODE_UNIT;
  }
  for (const compare of compares) {
    validateKey(compare.key);
    if (compare.type === 'created' && !compare.key.startsWith(LEASED_PREFIX)) {
      throw new InvalidStoreRequest(`key ${show(compare.key)} is compared by revision, but only keys under "${LEASED_PREFIX}" have one`);
    }
    mostBytes += compare.key.length * MAX_BYTES_PER_CODE_UNIT;
  }
  // Counting UTF-8 bytes costs more than everything above; nearly every batch is far from the limit.
  if (mostBytes > limits.bytes) requireAtMost('bytes', batchBytes(batch), limits.bytes);
  if (operations > 1) refuseDuplicates(puts, deletes, deleteRanges);
}

export function validateKey(key: string): void {
  if (key.length === 0) throw new InvalidStoreRequest('a key is empty');
  if (!key.isWellFormed()) throw new InvalidStoreRequest(`key ${show(key)} has half a surrogate pair: it has no UTF-8 form of its own`);
  if (key.length * MAX_BYTES_PER_CODE_UNIT > MAX_KEY_BYTES && Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw new WriteLimitExceeded(`key ${show(key)} has ${Buffer.byteLength(key)} bytes, over the limit of ${MAX_KEY_BYTES}`);
  }
}

export function validateRange(range: Range): void {
  validateKey(range.from);
  validateKey(range.to);
}

export function validateScan(range: Range, options: ScanOptions): void {
  validateRange(range);
  if (!Number.isSafeInteger(options.limit) || options.limit < 1) {
    throw new InvalidStoreRequest(`scan limit ${options.limit} is not a positive whole number`);
  }
}

export function validateWatchRange(range: Range): void {
  validateRange(range);
  if (isEmptyRange(range) || compareKeys(range.from, liveRange.from) < 0 || compareKeys(range.to, liveRange.to) > 0) {
    throw new InvalidStoreRequest(`range ${show(range.from)} to ${show(range.to)} can't be watched: only keys under "${LEASED_PREFIX}" can`);
  }
}

export function validateTtl(ttlMs: number): void {
  if (!(ttlMs >= MIN_LEASE_TTL_MS && Number.isFinite(ttlMs))) {
    throw new InvalidStoreRequest(`lease time to live ${ttlMs} ms is below ${MIN_LEASE_TTL_MS} ms`);
  }
}

function requireAtMost(what: keyof WriteLimits, actual: number, limit: number): void {
  if (actual > limit) throw new WriteLimitExceeded(`the write holds ${actual} ${what}, over the limit of ${limit}: split it`);
}

function refuseLease(put: Put): never {
  throw new InvalidStoreRequest(
    put.lease === undefined
      ? `key ${show(put.key)} is put without a lease, but keys under "${LEASED_PREFIX}" need one`
      : `key ${show(put.key)} is put with a lease, but only keys under "${LEASED_PREFIX}" can have one`,
  );
}

function refuseDuplicates(puts: readonly Put[], deletes: readonly string[], deleteRanges: readonly Range[]): void {
  if (deletes.length === 0 && deleteRanges.length === 0 && isAscending(puts)) return;
  const named = new Set<string>();
  for (const put of puts) addOnce(named, put.key);
  for (const key of deletes) addOnce(named, key);
  const ranges = deleteRanges.filter((range) => !isEmptyRange(range));
  for (const [index, range] of ranges.entries()) {
    for (const key of named) {
      if (compareKeys(key, range.from) >= 0 && compareKeys(key, range.to) < 0) {
        throw new DuplicateKey(`key ${show(key)} is also inside the deleted range ${show(range.from)} to ${show(range.to)}`);
      }
    }
    for (const other of ranges.slice(index + 1)) {
      if (compareKeys(range.from, other.to) < 0 && compareKeys(other.from, range.to) < 0) {
        throw new DuplicateKey(`the deleted ranges from ${show(range.from)} and from ${show(other.from)} overlap`);
      }
    }
  }
}

/** Keys in any strict order are distinct; to see that costs less than a set of them. */
function isAscending(puts: readonly Put[]): boolean {
  for (let index = 1; index < puts.length; index++) {
    if (puts[index]!.key <= puts[index - 1]!.key) return false;
  }
  return true;
}

function addOnce(named: Set<string>, key: string): void {
  const before = named.size;
  if (named.add(key).size === before) {
    throw new DuplicateKey(`key ${show(key)} is named twice in one write: coalesce it to its final operation`);
  }
}

function show(key: string): string {
  return JSON.stringify(key.length > 200 ? `${key.slice(0, 200)}…` : key);
}
