/**
 * Builds the etcd3 clients, one an endpoint, without etcd3's own retries. What is reached here by name
 * is private to etcd3 1.1.2: the pool, its host and its authenticator.
 */
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { Metadata, experimental, type ChannelCredentials, type ServiceError } from '@grpc/grpc-js';
import { noop } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import type { Clock } from '../clock.ts';
import { CertificateFiles } from '../transport/certificate-files.ts';
import { StoreUnusable } from './errors.ts';

export interface EtcdSettings {
  /** Like http://host:2379. All http or all https. */
  readonly endpoints: readonly string[];
  readonly user?: string;
  readonly password?: string;
  /** Paths of PEM files; new connections use what they say then. */
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly requestTimeoutMs: number;
  readonly certificatePollMs: number;
  readonly clock: Clock;
  /** Told of what is not the caller's to handle, such as certificate files that don't fit (with `error`). */
  log(message: string, fields: Record<string, unknown>): void;
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
  const certificates = settings.endpoints.some(isSecure) ? openCertificates(settings) : undefined;
  return settings.endpoints.map((endpoint) => buildClient(endpoint, certificates, settings));
}

const isSecure = (endpoint: string): boolean => endpoint.startsWith('https:');

function openCertificates({ caFile, certFile, keyFile, clock, certificatePollMs, log }: EtcdSettings): CertificateFiles {
  try {
    const options = { clock, pollMs: certificatePollMs, log: (message: string, fields: Record<string, unknown>) => log(`etcd: ${message}`, fields) };
    return new CertificateFiles({ caFile, certFile, keyFile }, options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreUnusable(`the etcd certificates can't be used (settings --etcd-ca, --etcd-cert, --etcd-key): ${reason}`, { cause: error });
  }
}

export function poolOf(client: Etcd3): Pool {
  return Reflect.get(client, 'pool') as Pool;
}

function buildClient(endpoint: string, certificates: CertificateFiles | undefined, { user, password, requestTimeoutMs }: EtcdSettings): Etcd3 {
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
  if (certificates !== undefined) only.channelCredentials = buildCredentials(certificates, address);
  // etcd3 would open a connection for every token, without our options, and leave it open.
  pool.authenticator.getCredentialsFromHost = (_address, name, secret) => authenticate(only, name, secret, requestTimeoutMs);
  return client;
}

/** @param address the IP address that the certificate must name, where the endpoint is one. */
function buildCredentials(certificates: CertificateFiles, address: string | undefined): ChannelCredentials {
  const identity = certificates.files.certFile === undefined ? null : certificates;
  return experimental.createCertificateProviderChannelCredentials(certificates, identity, address === undefined
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
