/** Every setting of the server: its flag, its environment variable, its rule, its help. */

import { ALGORITHMS } from '../runtime/security/algorithms.ts';
import { duration, list, oneOf, text, wholeNumber, bytes, type Rule } from './rules.ts';

export interface Setting<T> {
  /** Without the leading dashes. The environment variable is TXMESH_ and the flag in capitals. */
  readonly flag: string;
  readonly rule: Rule<T>;
  /** As it would be typed. Absent: no default; the value is undefined. */
  readonly fallback?: string;
  readonly help: string;
}

export const setting = <T>(flag: string, rule: Rule<T>, fallback: string | undefined, help: string): Setting<T> => ({
  flag,
  rule,
  help,
  ...(fallback === undefined ? {} : { fallback }),
});

const NAME = /^[a-z][a-z0-9-]{0,62}$/;

export const SETTINGS = {
  host: setting('host', text(), '127.0.0.1', 'address to listen on'),
  port: setting('port', wholeNumber(0, 65535), '50051', 'port to listen on; 0 takes a free one'),
  healthPort: setting('health-port', wholeNumber(1, 65535), undefined, 'port that tells health alone, in plain text, for probes that speak no TLS; default: none of its own'),
  metricsPort: setting('metrics-port', wholeNumber(0, 65535), '0', 'port of the page /metrics for Prometheus; 0: none, unless OTEL_METRICS_EXPORTER asks for it'),
  metricsHost: setting('metrics-host', text(), undefined, 'address for the metrics port to listen on; default: as --host'),
  advertise: setting('advertise', text(), undefined, 'host:port under which others reach this server; default: where it listens'),
  store: setting('store', oneOf('embedded', 'etcd', 'memory'), 'embedded', 'where records are kept: embedded (one machine, durable), etcd (clusters), memory (lost at exit)'),
  dataDir: setting('data-dir', text(), '.txmesh', 'folder of the embedded store; remove it to start from nothing'),
  etcdEndpoints: setting('etcd-endpoints', list(text()), 'http://127.0.0.1:2379', 'etcd members, separated by commas'),
  etcdUser: setting('etcd-user', text(), undefined, 'user name at etcd'),
  etcdPassword: setting('etcd-password', text(), undefined, 'password at etcd; prefer the environment variable'),
  etcdCa: setting('etcd-ca', text(), undefined, 'file with the certificate authority that etcd is checked against (PEM)'),
  etcdCert: setting('etcd-cert', text(), undefined, 'file with the client certificate for etcd (PEM)'),
  etcdKey: setting('etcd-key', text(), undefined, 'file with the key of the client certificate for etcd (PEM)'),
  etcdPrefix: setting('etcd-prefix', text(), 'txmesh/', 'prefix of all keys in etcd; clusters with different prefixes share an etcd'),
  etcdQuota: setting('etcd-quota', bytes(), '2GiB', "etcd's data quota (its --quota-backend-bytes); new work is refused before it is reached"),
  coordinator: setting('coordinator', oneOf('true', 'false'), 'true', 'run the transaction coordinator'),
  participants: setting('participants', list(text(NAME, 'of a-z, 0-9 and -, beginning with a letter, at most 63 characters')), 'inventory,payments', 'names of the key-value participants to run, separated by commas; empty runs none'),
  queues: setting('queues', list(text(NAME, 'of a-z, 0-9 and -, beginning with a letter, at most 63 characters')), 'queue', 'names of the queues to run, separated by commas; empty runs none'),
  counters: setting('counters', list(text(NAME, 'of a-z, 0-9 and -, beginning with a letter, at most 63 characters')), 'counter', 'names of the counter services to run, separated by commas; empty runs none'),
  counterPeers: setting('counter-peers', list(text()), '', 'host:port of servers of other clusters, separated by commas, to exchange replicated counters with'),
  partitions: setting('partitions', wholeNumber(1, 1024), undefined, 'partitions of each service, fixed when it is created; default: as created, or 1 (embedded, memory), 4 (etcd)'),
  lease: setting('lease', duration(1000, 60_000), '5s', 'time to live of the lease under which partitions are led; a dead server is replaced after it'),
  retention: setting('retention', duration(1000, 7 * 86_400_000), '15m', 'how long outcomes and changes are kept after they are final'),
  history: setting('history', wholeNumber(0, 100), '0', 'earlier versions that are kept of each key'),
  maxMessage: setting('max-message', bytes(), '4MiB', 'largest message that is taken'),
  maxRequests: setting('max-requests', wholeNumber(1, 1_000_000), '10000', 'most requests at a time; more are refused with a retry delay'),
  maxConnectionAge: setting('max-connection-age', duration(1000, 7 * 86_400_000), '30m', 'a connection that is older, give or take a tenth, is ended in good order, so that callers connect anew and follow scaling'),
  connectionGrace: setting('connection-grace', duration(0, 3_600_000), '1m', 'how long calls and streams on such a connection may go on'),
  drain: setting('drain', duration(0, 300_000), '10s', 'bound of a graceful stop'),
  tlsCert: setting('tls-cert', text(), undefined, 'file with the certificate to serve with (PEM); default: plain text'),
  tlsKey: setting('tls-key', text(), undefined, 'file with the key of the certificate (PEM)'),
  tlsCa: setting('tls-ca', text(), undefined, 'file with the authority that the certificates of callers and of other servers must come from (PEM)'),
  certificatePoll: setting('certificate-poll', duration(100, 3_600_000), '10s', "how often the certificate files, etcd's too, are looked at; new connections use what they say then"),
  tlsClients: setting('tls-clients', oneOf('required', 'optional'), 'required', 'whether callers must show a certificate, with --tls-ca; optional: callers without one are known by their token, and without that are anonymous'),
  policy: setting('policy', text(), undefined, 'file that says who may call what (YAML), read again when it changes; default: whoever reaches the server may call everything'),
  jwtJwks: setting('jwt-jwks', text(), undefined, 'file or https URL with the public keys that tokens of callers are verified with (a JSON Web Key Set); default: no tokens are taken'),
  jwtIssuer: setting('jwt-issuer', text(), undefined, 'issuer that tokens must come from (iss)'),
  jwtAudience: setting('jwt-audience', text(), undefined, 'audience that tokens must be meant for (aud)'),
  jwtAlgorithms: setting('jwt-algorithms', list(oneOf(...ALGORITHMS)), 'RS256,PS256,ES256,EdDSA', 'algorithms that tokens may be signed with, separated by commas'),
  jwtLeeway: setting('jwt-leeway', duration(0, 300_000), '30s', 'by how much clocks may differ where the times of a token are checked'),
  audit: setting('audit', oneOf('denied', 'all'), 'denied', 'what the log has audit events of; denied: denials and privileged calls (admin, participate); all: every call'),
  faultInjection: setting('fault-injection', oneOf('true', 'false'), 'false', 'for development only: serve txmesh.admin.v1.FaultService, by which whoever reaches this server makes it fail on purpose'),
  logLevel: setting('log-level', oneOf('debug', 'info', 'warn', 'error'), 'info', 'least severe level that is logged, as JSON lines on standard error'),
} as const;

export type SettingName = keyof typeof SETTINGS;
export type Settings = { readonly [K in SettingName]: (typeof SETTINGS)[K] extends Setting<infer T> ? Value<K, T> : never };

/** Settings without a default may be undefined. */
type Optional =
  | 'healthPort'
  | 'metricsHost'
  | 'advertise'
  | 'etcdUser'
  | 'etcdPassword'
  | 'etcdCa'
  | 'etcdCert'
  | 'etcdKey'
  | 'partitions'
  | 'tlsCert'
  | 'tlsKey'
  | 'tlsCa'
  | 'policy'
  | 'jwtJwks'
  | 'jwtIssuer'
  | 'jwtAudience';
type Value<K, T> = K extends Optional ? T | undefined : T;
