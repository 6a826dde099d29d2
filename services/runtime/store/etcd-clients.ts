/**
 * Builds the etcd3 clients, one an endpoint, without etcd3's own retries. What is reached here by name
 * is private to etcd3 1.1.2: the pool, its host and its authenticator.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { Metadata, credentials, type ChannelCredentials, type ServiceError } from '@grpc/grpc-js';
import { noop } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import type { Clock } from '../clock.ts';
import { StoreUnusable } from './errors.ts';

export interface EtcdSettings {
  /** Like http://host:2379. All http or all https. */
  readonly endpoints: readonly string[];
  readonly user?: string;
  readonly password?: string;
  /** Paths of PEM files. */
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly requestTimeoutMs: number;
  readonly certificatePollMs: number;
  readonly clock: Clock;
  /** Told of trouble that is not the caller's to handle, such as certificate files that don't load. */
  readonly warn: (message: string) => void;
}

export interface Pool {
  withConnection<T>(service: string, call: (connection: { client: object; metadata: Metadata }) => Promise<T>): Promise<T>;
  readonly authenticator: Authenticator;
  readonly hosts: readonly Host[];
}

interface Host {
  channelCredentials: ChannelCredentials;
  getServiceClient(service: 'Auth'): AuthClient;
}

interface AuthClient {
  authenticate(
    request: { name: string; password: string },
    metadata: Metadata,
    options: { deadline: number },
    done: (error: ServiceError | null, response?: { token: string }) => void,
  ): void;
}

interface Authenticator {
  invalidateMetadata(): void;
  getCredentialsFromHost(address: string, name: string, password: string): Promise<string>;
}

/** etcd answers pings more often than every 5 s by closing the connection. */
const KEEPALIVE_TIME_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
const FIRST_RECONNECT_MS = 100;
const LONGEST_RECONNECT_MS = 1_000;
/** Told to the server instead of an IP address, which TLS does not allow there and Node 26 refuses. */
const NAME_OF_AN_ADDRESS = 'ip-address.invalid';

/** @throws StoreUnusable when a certificate file can't be used. */
export function buildEtcdClients(settings: EtcdSettings): Etcd3[] {
  const certificates = {
    ca: readPem(settings.caFile, '--etcd-ca'),
    cert: readPem(settings.certFile, '--etcd-cert'),
    key: readPem(settings.keyFile, '--etcd-key'),
  };
  try {
    return settings.endpoints.map((endpoint) => buildClient(endpoint, certificates, settings));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreUnusable(`the etcd certificates can't be used (settings --etcd-ca, --etcd-cert, --etcd-key): ${reason}`, { cause: error });
  }
}

export function poolOf(client: Etcd3): Pool {
  return Reflect.get(client, 'pool') as Pool;
}

interface Certificates {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

function buildClient(endpoint: string, certificates: Certificates, { user, password, requestTimeoutMs }: EtcdSettings): Etcd3 {
  const host = new URL(endpoint).hostname.replace(/^\[|\]$/g, '');
  const address = isIP(host) === 0 ? undefined : host;
  const client = new Etcd3({
    hosts: endpoint,
    auth: user === undefined ? undefined : { username: user, password: password ?? '' },
    // The default breaker would fail every caller after one full server; we retry by ourselves.
    faultHandling: { host: () => noop, global: noop },
    grpcOptions: {
      'grpc.max_receive_message_length': -1,
      'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.initial_reconnect_backoff_ms': FIRST_RECONNECT_MS,
      'grpc.max_reconnect_backoff_ms': LONGEST_RECONNECT_MS,
      // A member that comes back has its old name and a new address; the default looks again after 30 s.
      'grpc.dns_min_time_between_resolutions_ms': LONGEST_RECONNECT_MS,
      ...(address === undefined ? {} : { 'grpc.ssl_target_name_override': NAME_OF_AN_ADDRESS }),
    },
  });
  const pool = poolOf(client);
  const [only] = pool.hosts;
  if (only === undefined) throw new Error('an etcd3 client without a host');
  if (endpoint.startsWith('https:')) only.channelCredentials = buildCredentials(certificates, address);
  // etcd3 would open a connection for every token, without our options, and leave it open.
  pool.authenticator.getCredentialsFromHost = (_address, name, secret) => authenticate(only, name, secret, requestTimeoutMs);
  return client;
}

/** @param address the IP address that the certificate must name, where the endpoint is one. */
function buildCredentials({ ca, cert, key }: Certificates, address: string | undefined): ChannelCredentials {
  // Without an authority of our own, the system's are trusted.
  return credentials.createSsl(ca ?? null, key ?? null, cert ?? null, address === undefined
    ? {}
    : { checkServerIdentity: (_name: string, certificate: PeerCertificate) => checkServerIdentity(address, certificate) });
}

function authenticate(host: Host, name: string, password: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    host.getServiceClient('Auth').authenticate({ name, password }, new Metadata(), { deadline: Date.now() + timeoutMs }, (error, response) => {
      if (response === undefined) reject(error ?? new Error('etcd gave no token'));
      else resolve(response.token);
    });
  });
}

function readPem(path: string | undefined, setting: string): Buffer | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw new StoreUnusable(`${path} can't be read (setting ${setting}): ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
