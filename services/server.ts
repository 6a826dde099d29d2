/** The server as a command: settings in, one mesh process out, until it is told to stop. */

import { catalogueOfMesh } from './mesh/access.ts';
import { startNode, type Faults, type Node, type NodePorts } from './mesh.ts';
import { systemClock } from './runtime/clock.ts';
import { withOptionalCertificates } from './runtime/security/optional-certificates.ts';
import { openSecurity, SecurityInvalid, type Security } from './runtime/security/open.ts';
import { StoreError, StoreUnusable } from './runtime/store/errors.ts';
import { openStore } from './runtime/store/open.ts';
import type { Store } from './runtime/store/store.ts';
import { createLog, type Log } from './runtime/telemetry/log.ts';
import { securityObserver } from './runtime/telemetry/metrics/security.ts';
import { Spans } from './runtime/telemetry/spans.ts';
import { startTelemetry, type TelemetryHandle } from './runtime/telemetry/start.ts';
import { TelemetryError } from './runtime/telemetry/telemetry-error.ts';
import { reportTrouble } from './runtime/telemetry/trouble.ts';
import { CertificateFiles } from './runtime/transport/certificate-files.ts';
import { channelCredentials, serverCredentials } from './runtime/transport/credentials.ts';
import { ListenError } from './runtime/transport/listen-error.ts';
import { COMMANDS } from './settings/commands.ts';
import { helpText, readSettings, SettingError } from './settings/read.ts';
import type { Settings } from './settings/table.ts';
import { version } from './version.ts';

const USAGE = `txmesh ${version}: changes that span several services happen completely or not at all\n\nUsage: txmesh [SETTING …]           runs a server\n${commands()}\n       txmesh policy check|explain FILE …`;

function commands(): string {
  const usage = Object.entries(COMMANDS).map(([name, { help }]) => `       txmesh ${`${name} [SETTING …]`.padEnd(26)} ${help}`);
  return usage.join('\n');
}
/** Of services created now; on one machine more of them would only make smaller batches. */
const DEFAULT_PARTITIONS = { embedded: 1, memory: 1, etcd: 4 } as const;
const LONGEST_ETCD_REQUEST_MS = 5_000;
const LOG_BASE = { 'service.name': 'txmesh', pid: process.pid };
/** What telemetry may take to send what is left. */
const LAST_EXPORT_MS = 5_000;

export interface ServerPorts {
  /** Sees and may wrap the store, for measurements. */
  readonly wrapStore?: (store: Store) => Store;
  readonly faults?: Faults;
}

/**
 * Runs until SIGTERM or SIGINT, then drains.
 * @returns the exit code: 0 after a graceful stop, 1 where it can't start, 2 for a wrong setting
 */
export async function runServer(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  ports: ServerPorts = {},
): Promise<number> {
  let settings: Settings;
  const [first] = args;
  if (first !== undefined && !first.startsWith('-')) {
    console.error(`txmesh: unknown command "${first}"; there are ${[...Object.keys(COMMANDS), 'policy'].join(', ')}, and without one a server runs; --help tells more`);
    return 2;
  }
  try {
    const parsed = readSettings(args, environment);
    if (parsed.type !== 'settings') {
      console.log(parsed.type === 'help' ? helpText(USAGE) : version);
      return 0;
    }
    settings = parsed.settings;
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    console.error(`txmesh: ${error.message}`);
    return 2;
  }
  const stop = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.resolve(signal));
  let telemetry: TelemetryHandle;
  try {
    const { host, metricsHost = host, metricsPort } = settings;
    const scrape = metricsPort === 0 ? undefined : { host: metricsHost, port: metricsPort };
    telemetry = await startTelemetry({ serviceName: 'txmesh', version, environment, scrape, host: metricsHost });
  } catch (error) {
    if (!(error instanceof ListenError || error instanceof TelemetryError)) throw error;
    console.error(`txmesh: ${error.message}`);
    return error instanceof TelemetryError ? 2 : 1;
  }
  const log = createLog(settings.logLevel, LOG_BASE, { logger: telemetry.logger });
  // Not by OpenTelemetry itself.
  const endReports = telemetry.started ? reportTrouble(systemClock, environment, createLog(settings.logLevel, LOG_BASE).warn) : undefined;
  try {
    return await serve(settings, log, telemetry, ports, stop.promise);
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof ListenError || error instanceof SettingError || error instanceof SecurityInvalid)) throw error;
    console.error(`txmesh: ${error.message}`);
    return 1;
  } finally {
    await bounded(telemetry.shutdown()).catch((error: unknown) => log.warn('traces, metrics or logs were lost', { error: String(error) }));
    endReports?.();
  }
}

async function serve(
  settings: Settings,
  log: Log,
  telemetry: TelemetryHandle,
  ports: ServerPorts,
  stopped: Promise<string>,
): Promise<number> {
  const logged = (message: string, fields: Record<string, unknown>): void =>
    'error' in fields ? log.error(message, fields) : log.info(message, fields);
  const credentials = credentialsOf(settings, logged);
  const security = securityOf(settings, log, telemetry);
  try {
    return await run(settings, { log, logged, telemetry, credentials, security }, ports, stopped);
  } finally {
    security.close();
  }
}

interface Running {
  readonly log: Log;
  /** The log of what has no level: an error where there is one. */
  readonly logged: NodePorts['log'];
  readonly telemetry: TelemetryHandle;
  readonly credentials: NodePorts['credentials'];
  readonly security: Security;
}

async function run(
  settings: Settings,
  { log, logged, telemetry, credentials, security }: Running,
  ports: ServerPorts,
  stopped: Promise<string>,
): Promise<number> {
  const opened = await open(settings, logged, stopped);
  if (opened === undefined) {
    log.info('stopped before it served', { signal: await stopped });
    return 0;
  }
  const store = ports.wrapStore?.(opened) ?? opened;
  const node: Node = await startNode(
    {
      host: settings.host,
      port: settings.port,
      healthPort: settings.healthPort,
      advertise: settings.advertise,
      coordinator: settings.coordinator === 'true',
      participants: settings.participants,
      queues: settings.queues,
      counters: settings.counters,
      counterPeers: settings.counterPeers,
      partitions: settings.partitions,
      defaultPartitions: DEFAULT_PARTITIONS[settings.store],
      leaseTtlMs: settings.lease,
      retentionMs: settings.retention,
      historyLimit: settings.history,
      faultInjection: settings.faultInjection === 'true',
      server: {
        maxMessageBytes: settings.maxMessage,
        maxCalls: settings.maxRequests,
        maxConnectionAgeMs: settings.maxConnectionAge,
        connectionGraceMs: settings.connectionGrace,
      },
    },
    {
      store,
      log: logged,
      spans: new Spans(telemetry.enabled, version, (message, fields) => log.debug(message, fields)),
      metrics: telemetry.metrics,
      guard: security.guard,
      ...(credentials && { credentials: settings.tlsClients === 'required' ? credentials : { ...credentials, server: withOptionalCertificates(credentials.server) } }),
      ...(ports.faults === undefined ? {} : { faults: ports.faults }),
    },
  );
  if (settings.faultInjection === 'true') log.warn('fault injection is on: whoever reaches this server can make it fail');
  const ready = await Promise.race([node.ready(), stopped]);
  if (ready === undefined) {
    log.info('serving', { address: node.address, store: opened.description, version });
    log.info('stopping', { signal: await stopped });
  }
  await node.drain(settings.drain);
  log.info('stopped');
  return 0;
}

/** @returns undefined where the server is stopped while it waits for the store to answer */
async function open(settings: Settings, log: NodePorts['log'], stopped: Promise<string>): Promise<Store | undefined> {
  const waiting = new AbortController();
  void stopped.then(() => waiting.abort());
  try {
    return await openStore({
      ...settings,
      etcdQuotaBytes: settings.etcdQuota,
      // A write that hangs is in the way of stepping down and leading again: no longer than a lease.
      etcdRequestTimeoutMs: Math.min(settings.lease, LONGEST_ETCD_REQUEST_MS),
      etcdOpenTimeoutMs: settings.etcdWait,
      etcdCertificatePollMs: settings.certificatePoll,
      clock: systemClock,
      log,
      signal: waiting.signal,
    });
  } catch (error) {
    if (waiting.signal.aborted && error instanceof StoreUnusable) return undefined;
    throw error;
  }
}

/** A receiver that does not answer must not keep the process. @throws Error when it takes too long */
function bounded(sending: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = systemClock.setTimer(LAST_EXPORT_MS, () => reject(new Error(`no answer within ${LAST_EXPORT_MS} ms`)));
  return Promise.race([sending, promise]).finally(() => timer.cancel());
}

function securityOf(settings: Settings, log: Log, { metrics, logger }: TelemetryHandle): Security {
  const { policy, jwtJwks, jwtIssuer, jwtAudience, jwtAlgorithms, jwtLeeway, audit, tlsCert, tlsCa } = settings;
  return openSecurity(
    {
      policy,
      keys: jwtJwks,
      ...(jwtJwks !== undefined && { tokens: { issuer: jwtIssuer!, audience: jwtAudience!, algorithms: jwtAlgorithms, leewayMs: jwtLeeway } }),
      audit,
      encrypted: tlsCert !== undefined,
      certificates: tlsCa !== undefined,
    },
    {
      catalogue: catalogueOfMesh(),
      clock: systemClock,
      // At a level of its own: who logs errors alone wants these all the same.
      audit: createLog('info', LOG_BASE, { logger }).info,
      // Without a policy nothing is decided.
      observer: metrics !== undefined && policy !== undefined ? securityObserver(metrics) : undefined,
      info: (message, fields) => log.info(message, fields),
      error: (message, fields) => log.error(message, fields),
    },
  );
}

/** With an authority given, both ends of every connection show a certificate that comes from it. */
function credentialsOf({ tlsCert, tlsKey, tlsCa, certificatePoll }: Settings, log: NodePorts['log']): NodePorts['credentials'] {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const files = { certFile: tlsCert, keyFile: tlsKey, ...(tlsCa !== undefined && { caFile: tlsCa }) };
  try {
    const certificates = new CertificateFiles(files, { pollMs: certificatePoll, log });
    return { server: serverCredentials(certificates), channels: channelCredentials(certificates) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SettingError(`the certificates can't be used (settings --tls-cert, --tls-key, --tls-ca): ${reason}`, { cause: error });
  }
}
