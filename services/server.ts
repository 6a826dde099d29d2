/** The server as a command: settings in, one mesh process out, until it is told to stop. */

import { catalogueOfMesh } from './mesh/access.ts';
import { startNode, type Faults, type Node, type NodePorts } from './mesh.ts';
import { systemClock } from './runtime/clock.ts';
import { withOptionalCertificates } from './runtime/security/optional-certificates.ts';
import { openSecurity, SecurityInvalid, type Security } from './runtime/security/open.ts';
import { StoreError } from './runtime/store/errors.ts';
import { openStore } from './runtime/store/open.ts';
import type { Store } from './runtime/store/store.ts';
import { createLog, type Log } from './runtime/telemetry/log.ts';
import { Spans } from './runtime/telemetry/spans.ts';
import { startTelemetry, type TelemetryHandle } from './runtime/telemetry/start.ts';
import { channelCredentials, serverCredentials } from './runtime/transport/credentials.ts';
import { ListenError } from './runtime/transport/server.ts';
import { helpText, readSettings, SettingError } from './settings/read.ts';
import type { Settings } from './settings/table.ts';
import { version } from './version.ts';

const USAGE = `txmesh ${version}: changes that span several services happen completely or not at all\n\nUsage: txmesh [SETTING …]\n       txmesh policy check|explain FILE …`;
/** Of services created now; on one machine more of them would only make smaller batches. */
const DEFAULT_PARTITIONS = { embedded: 1, memory: 1, etcd: 4 } as const;
const LONGEST_ETCD_REQUEST_MS = 5_000;
const LOG_BASE = { 'service.name': 'txmesh', pid: process.pid };

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
  const log = createLog(settings.logLevel, LOG_BASE);
  const telemetry = await startTelemetry('txmesh', environment);
  try {
    return await serve(settings, log, telemetry, ports, stop.promise);
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof ListenError || error instanceof SettingError || error instanceof SecurityInvalid)) throw error;
    console.error(`txmesh: ${error.message}`);
    return 1;
  } finally {
    await telemetry.shutdown().catch((error: unknown) => log.warn('traces were lost', { error: String(error) }));
  }
}

async function serve(
  settings: Settings,
  log: Log,
  telemetry: TelemetryHandle,
  ports: ServerPorts,
  stopped: Promise<string>,
): Promise<number> {
  const credentials = credentialsOf(settings);
  const security = securityOf(settings, log);
  try {
    return await run(settings, log, telemetry, ports, { credentials, security }, stopped);
  } finally {
    security.close();
  }
}

async function run(
  settings: Settings,
  log: Log,
  telemetry: TelemetryHandle,
  ports: ServerPorts,
  { credentials, security }: { readonly credentials: NodePorts['credentials']; readonly security: Security },
  stopped: Promise<string>,
): Promise<number> {
  const opened = await openStore({
    ...settings,
    etcdQuotaBytes: settings.etcdQuota,
    // A write that hangs is in the way of stepping down and leading again: no longer than a lease.
    etcdRequestTimeoutMs: Math.min(settings.lease, LONGEST_ETCD_REQUEST_MS),
    clock: systemClock,
    warn: (message) => log.warn(message),
  });
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
      server: { maxMessageBytes: settings.maxMessage, maxCalls: settings.maxRequests },
    },
    {
      store,
      log: (message, fields) => ('error' in fields ? log.error(message, fields) : log.info(message, fields)),
      spans: new Spans(telemetry.enabled, version, (message, fields) => log.debug(message, fields)),
      guard: security.guard,
      ...(credentials && { credentials: settings.tlsClients === 'required' ? credentials : { ...credentials, server: withOptionalCertificates(credentials.server) } }),
      ...(ports.faults === undefined ? {} : { faults: ports.faults }),
    },
  );
  const ready = await Promise.race([node.ready(), stopped]);
  if (ready === undefined) {
    log.info('serving', { address: node.address, store: opened.description, version });
    log.info('stopping', { signal: await stopped });
  }
  await node.drain(settings.drain);
  log.info('stopped');
  return 0;
}

function securityOf(settings: Settings, log: Log): Security {
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
      audit: createLog('info', LOG_BASE).info,
      info: (message, fields) => log.info(message, fields),
      error: (message, fields) => log.error(message, fields),
    },
  );
}

/** With an authority given, both ends of every connection show a certificate that comes from it. */
function credentialsOf({ tlsCert, tlsKey, tlsCa }: Settings): NodePorts['credentials'] {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const files = { certFile: tlsCert, keyFile: tlsKey, ...(tlsCa !== undefined && { caFile: tlsCa }) };
  try {
    return { server: serverCredentials(files), channels: channelCredentials(files) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new SettingError(`the certificates can't be used (settings --tls-cert, --tls-key, --tls-ca): ${reason}`, { cause: error });
  }
}
