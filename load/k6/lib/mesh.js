// A connection of one VU to a mesh, and single calls over it.
import encoding from 'k6/encoding';
import grpc from 'k6/net/grpc';

/** One or more of them, separated by commas: the VUs share themselves out. */
const ADDRESSES = (__ENV.MESH_ADDRESS || '127.0.0.1:50051').split(',');
const TIMEOUT = '5s';

/** With MESH_CA, MESH_CERT and MESH_KEY, files in PEM: TLS with a client certificate; the last two are optional. */
const read = (file) => file && open(file);
const tls = __ENV.MESH_CA && { cacerts: open(__ENV.MESH_CA), cert: read(__ENV.MESH_CERT), key: read(__ENV.MESH_KEY) };
/** With MESH_TOKEN_FILE: sent with every call. */
const token = read(__ENV.MESH_TOKEN_FILE);
const metadata = token ? { authorization: `Bearer ${token.trim()}` } : {};

const client = new grpc.Client();
client.loadProtoset(__ENV.MESH_PROTOSET);
let isConnected = false;

/** The gRPC codes after which the same call may do better. After some of them it may have been executed. */
const WORTH_A_RETRY = [
  grpc.StatusCanceled,
  grpc.StatusUnknown,
  grpc.StatusDeadlineExceeded,
  grpc.StatusResourceExhausted,
  grpc.StatusUnavailable,
];

/** {message}, or {error: {message, retry}}: whether the same call may do better. */
export function call(method, request) {
  try {
    if (!isConnected) client.connect(ADDRESSES[__VU % ADDRESSES.length], tls ? { tls, timeout: TIMEOUT } : { plaintext: true, timeout: TIMEOUT });
    isConnected = true;
  } catch (failure) {
    return { error: { message: `no connection: ${String(failure)}`, retry: true } };
  }
  const { status, message, error } = client.invoke(method, request, { timeout: TIMEOUT, metadata });
  if (status === grpc.StatusOK) return { message };
  return { error: { message: `${method.split('/')[1]}: ${(error && error.message) || ''} (code ${status})`, retry: WORTH_A_RETRY.includes(status) } };
}

/** A value for a field of type bytes. */
export const encode = (value) => encoding.b64encode(JSON.stringify(value));
export const decode = (bytes) => JSON.parse(encoding.b64decode(bytes, 'std', 's'));
