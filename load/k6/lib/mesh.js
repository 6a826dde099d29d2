// A connection to a mesh for one VU, and the calls that scenarios make.
import encoding from 'k6/encoding';
import grpc from 'k6/net/grpc';
import { Counter, Rate, Trend } from 'k6/metrics';

const ADDRESS = __ENV.MESH_ADDRESS || '127.0.0.1:50051';
const TIMEOUT = '10s';
const COORDINATOR = 'txmesh.coordinator.v1.CoordinatorService';
const KEY_VALUE = 'txmesh.keyvalue.v1.KeyValueService';
const PUT = 'type.googleapis.com/txmesh.keyvalue.v1.PutOperation';

/** With MESH_CA, MESH_CERT and MESH_KEY, files in PEM: TLS with a client certificate. */
const tls = __ENV.MESH_CA && { cacerts: open(__ENV.MESH_CA), cert: open(__ENV.MESH_CERT), key: open(__ENV.MESH_KEY) };

const client = new grpc.Client();
client.loadProtoset(__ENV.MESH_PROTOSET);
let isConnected = false;

/** From sending Execute to its answer. */
export const duration = new Trend('transaction_duration', true);
/** Neither committed nor aborted for a conflict: errors and unknown outcomes. */
export const failed = new Rate('transaction_failed');
export const committed = new Counter('transactions_committed');
export const conflicts = new Counter('transactions_conflicting');

function call(method, request) {
  if (!isConnected) client.connect(ADDRESS, tls ? { tls, timeout: TIMEOUT } : { plaintext: true, timeout: TIMEOUT });
  isConnected = true;
  const { status, message, error } = client.invoke(method, request, { timeout: TIMEOUT });
  return status === grpc.StatusOK ? { message } : { error: error || { message: `status ${status}` } };
}

const encode = (value) => encoding.b64encode(JSON.stringify(value));
const decode = (bytes) => JSON.parse(encoding.b64decode(bytes, 'std', 's'));

/** An operation that writes a JSON value. The precondition is {absent: true} or {version}. */
export function put(participant, collection, key, value, precondition) {
  return { participant, routingKey: key, operation: { '@type': PUT, collection, key, value: encode(value), precondition } };
}

/** {value, version}, or undefined where the read failed. */
export function get(participant, collection, key) {
  const { message } = call(`${KEY_VALUE}/Get`, { participant, collection, key });
  return message && { value: decode(message.entry.value), version: message.entry.version };
}

/** Every value of a collection. @throws where one can't be read: then nothing is known. */
export function scan(participant, collection) {
  const values = [];
  let pageToken = '';
  do {
    const { message, error } = call(`${KEY_VALUE}/Scan`, { participant, collection, pageSize: 1000, pageToken });
    if (error) throw new Error(`${participant}/${collection} can't be read: ${error.message}`);
    for (const entry of message.entries || []) values.push(decode(entry.value));
    pageToken = message.nextPageToken;
  } while (pageToken);
  return values;
}

/** All or nothing. Counts it, and tells whether it is committed. */
export function execute(operations) {
  const startMs = Date.now();
  const { message, error } = call(`${COORDINATOR}/Execute`, { operations });
  duration.add(Date.now() - startMs);
  const state = message && message.transaction.state;
  const isCommitted = state === 'STATE_COMMITTING' || state === 'STATE_COMMITTED';
  failed.add(Boolean(error) || !(isCommitted || state === 'STATE_ABORTED'));
  if (isCommitted) committed.add(1);
  else if (state === 'STATE_ABORTED') conflicts.add(1);
  else console.error(`Execute failed: ${error ? error.message : state}`);
  return isCommitted;
}
