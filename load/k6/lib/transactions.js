// Transactions whose outcome is always settled, and keys.
import { Counter } from 'k6/metrics';
import { uuidv7 } from './ids.js';
import { decode, encode } from './mesh.js';
import { operate, require } from './operate.js';

const COORDINATOR = 'txmesh.coordinator.v1.CoordinatorService';
const KEY_VALUE = 'txmesh.keyvalue.v1.KeyValueService';

/** Aborted, for a conflict for example: an answer, and no failure. */
const aborted = new Counter('transactions_aborted');
const committed = new Counter('transactions_committed');

const COMMITTED = ['STATE_COMMITTING', 'STATE_COMMITTED'];

/** An operation of a transaction. */
export const operation = (participant, routingKey, type, fields) => ({
  participant,
  routingKey,
  operation: { '@type': `type.googleapis.com/txmesh.${type}`, ...fields },
});

/** Writes a JSON value. The precondition is {absent: true} or {version}. */
export const put = (participant, collection, key, value, precondition) =>
  operation(participant, key, 'keyvalue.v1.PutOperation', { collection, key, value: encode(value), precondition });

/** All or nothing. 'done', 'not done', or 'unknown' where even asking did not settle it. */
export function execute(operations) {
  const transactionId = uuidv7();
  const result = operate('execute', `${COORDINATOR}/Execute`, { transactionId, operations });
  if (result.type === 'refused') return 'not done';
  // To abort what may be through is to ask what became of it.
  const { message } = result.type === 'done' ? result : operate('settle', `${COORDINATOR}/AbortTransaction`, { transactionId });
  const state = message && message.transaction.state;
  if (COMMITTED.includes(state)) {
    committed.add(1);
    return 'done';
  }
  if (state !== 'STATE_ABORTED') return 'unknown';
  aborted.add(1);
  return 'not done';
}

/** {value, version}, or undefined where the read failed. */
export function get(participant, collection, key) {
  const { message } = operate('get', `${KEY_VALUE}/Get`, { participant, collection, key });
  return message && { value: decode(message.entry.value), version: message.entry.version };
}

/** Writes a key alone, whatever is there. Whether it is there now. */
export function putAlone(participant, collection, key, value) {
  const request = { participant, collection, key, value: encode(value), requestId: uuidv7() };
  return operate('put', `${KEY_VALUE}/Put`, request).type === 'done';
}

/** Every value of a collection. @throws Error where one can't be read: then nothing is known. */
export function scan(participant, collection) {
  const values = [];
  let pageToken = '';
  do {
    const page = require('scan', `${KEY_VALUE}/Scan`, { participant, collection, pageSize: 1000, pageToken });
    for (const entry of page.entries || []) values.push(decode(entry.value));
    pageToken = page.nextPageToken;
  } while (pageToken);
  return values;
}

const KEYS_AT_ONCE = 100;

/** Writes keys that are not there yet. @throws Error */
export function create(puts) {
  for (let i = 0; i < puts.length; i += KEYS_AT_ONCE)
    if (execute(puts.slice(i, i + KEYS_AT_ONCE)) !== 'done') throw new Error('the keys of this run could not be written');
}
