/** The server as a command: settings in, one mesh process out, until it is told to stop. */

import { startNode, type Faults, type Node, type NodePorts } from './mesh.ts';
import { systemClock } from './runtime/clock.ts';
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

const USAGE = `txmesh ${version}: changes that span several services happen completely or not at all\n\nUsage: txmesh [SETTING …]`;
/** Of services created now; on one machine more of them would only make smaller batches. */
const DEFAULT_PARTITIONS = { embedded: 1, memory: 1, etcd: 4 } as const;
const LONGEST_ETCD_REQUEST_MS = 5_000;

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
  const log = createLog(settings.logLevel, { 'service.name': 'txmesh', pid: process.pid });
  const telemetry = await startTelemetry('txmesh', environment);
  try {
    return await serve(settings, log, telemetry, ports, stop.promise);
  } catch (error) {
    if (!(error instanceof StoreError || error instanceof ListenError || error instanceof SettingError)) throw error;
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
      faultInjection: settings.faultInjection === 'true',
      server: { maxMessageBytes: settings.maxMessage, maxCalls: settings.maxRequests },
    },
    {
      store,
      log: (message, fields) => ('error' in fields ? log.error(message, fields) : log.info(message, fields)),
      spans: new Spans(telemetry.enabled, version, (message, fields) => log.debug(message, fields)),
      ...(credentials && { credentials }),
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
