/** Opens the store that the settings name. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { StoreUnavailable, StoreUnusable } from './errors.ts';
import { EtcdFailed } from './etcd-connection.ts';
import { EtcdStore } from './etcd.ts';
import { openLmdbStore } from './lmdb.ts';
import { MemoryStore } from './memory.ts';
import { LEASED_PREFIX, prefixRange, type Store } from './store.ts';

export interface StoreSettings {
  readonly store: 'embedded' | 'etcd' | 'memory';
  readonly clock: Clock;
  /** Setting --data-dir. For the embedded store. */
  readonly dataDir?: string;
  /** Setting --etcd-endpoints: like http://host:2379. For etcd. */
  readonly etcdEndpoints?: readonly string[];
  readonly etcdUser?: string;
  readonly etcdPassword?: string;
  /** Paths of PEM files; read again when they change. */
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
  /** Setting --etcd-prefix: what every key begins with, one for each cluster. Default "txmesh/". */
  readonly etcdPrefix?: string;
  /** Setting --etcd-quota, bytes: the servers' own --quota-backend-bytes. Default 2 GiB, as theirs. */
  readonly etcdQuotaBytes?: number;
  /** How long etcd may take to answer a request, in milliseconds. Default 5000. */
  readonly etcdRequestTimeoutMs?: number;
  /** How long etcd may take to answer at all when the store is opened, in milliseconds. Default 15000. */
  readonly etcdOpenTimeoutMs?: number;
  /** Ends the wait for an etcd that gives no answer. */
  readonly signal?: AbortSignal;
  /** How often the certificate files are looked at, in milliseconds. Default 10000. */
  readonly etcdCertificatePollMs?: number;
  /** Told of what no call can report; of trouble with `error`. Default: trouble is a warning of the process. */
  readonly log?: (message: string, fields: Record<string, unknown>) => void;
}

const DEFAULT_PREFIX = 'txmesh/';
/** Part of every key in every request: the limits leave room for this much. */
const MAX_PREFIX_BYTES = 256;
const DEFAULT_QUOTA_BYTES = 2 * 2 ** 30;
const DEFAULT_REQUEST_TIMEOUT_MS = 5_000;
const DEFAULT_OPEN_TIMEOUT_MS = 15_000;
const DEFAULT_CERTIFICATE_POLL_MS = 10_000;
const RETRY_MS = 200;
/** Between two lines that tell of the wait. */
const TELL_WAITING_MS = 10_000;

/** @throws StoreUnusable in one line that names the setting to change. */
export async function openStore(settings: StoreSettings): Promise<Store> {
  switch (settings.store) {
    case 'memory':
      return new MemoryStore(settings.clock);
    case 'embedded':
      if (settings.dataDir === undefined) throw new StoreUnusable('the embedded store needs a data folder (setting --data-dir)');
      return openLmdbStore(settings.dataDir, settings.clock);
    case 'etcd':
      return openEtcdStore(settings);
  }
}

/** @throws StoreUnusable in one line that names the setting to change. */
export async function openEtcdStore(settings: StoreSettings): Promise<EtcdStore> {
  const endpoints = checkEndpoints(settings.etcdEndpoints ?? []);
  const prefix = settings.etcdPrefix ?? DEFAULT_PREFIX;
  if (Buffer.byteLength(prefix) > MAX_PREFIX_BYTES || !prefix.isWellFormed()) {
    throw new StoreUnusable(`the prefix of the keys is over ${MAX_PREFIX_BYTES} bytes or not Unicode (setting --etcd-prefix)`);
  }
  const store = new EtcdStore({
    endpoints,
    prefix,
    user: settings.etcdUser,
    password: settings.etcdPassword,
    caFile: settings.etcdCa,
    certFile: settings.etcdCert,
    keyFile: settings.etcdKey,
    quotaBytes: settings.etcdQuotaBytes ?? DEFAULT_QUOTA_BYTES,
    requestTimeoutMs: settings.etcdRequestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS,
    certificatePollMs: settings.etcdCertificatePollMs ?? DEFAULT_CERTIFICATE_POLL_MS,
    clock: settings.clock,
    log: settings.log ?? ((message, { error }) => error !== undefined && process.emitWarning(`${message}: ${JSON.stringify(error)}`)),
  });
  try {
    await awaitAnswer(store, settings, endpoints);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function checkEndpoints(endpoints: readonly string[]): readonly string[] {
  if (endpoints.length === 0) throw new StoreUnusable('the etcd store needs addresses like http://host:2379 (setting --etcd-endpoints)');
  for (const endpoint of endpoints) {
    if (!/^https?:\/\/[^/\s]+$/.test(endpoint)) {
      throw new StoreUnusable(`etcd address ${JSON.stringify(endpoint)} is not like http://host:2379 (setting --etcd-endpoints)`);
    }
  }
  const secure = endpoints.filter((endpoint) => endpoint.startsWith('https:')).length;
  if (secure !== 0 && secure !== endpoints.length) {
    throw new StoreUnusable(`etcd addresses ${endpoints.join(',')} mix http and https (setting --etcd-endpoints)`);
  }
  return endpoints;
}

/** A cluster that is just starting gets the whole time; one that refuses us gets none. */
async function awaitAnswer(store: EtcdStore, settings: StoreSettings, endpoints: readonly string[]): Promise<void> {
  const { clock } = settings;
  const timeoutMs = settings.etcdOpenTimeoutMs ?? DEFAULT_OPEN_TIMEOUT_MS;
  const lastMoment = clock.monotonicMs() + timeoutMs;
  let tellMs = clock.monotonicMs();
  for (;;) {
    try {
      await store.scan(prefixRange(LEASED_PREFIX), { limit: 1, keysOnly: true });
      return;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      const reason = error.cause instanceof Error ? error.cause.message : error.message;
      if (isRefusal(error)) throw new StoreUnusable(`etcd at ${endpoints.join(',')} refuses us (settings --etcd-user, --etcd-password): ${reason}`, { cause: error });
      if (settings.signal?.aborted) throw new StoreUnusable(`the wait for etcd at ${endpoints.join(',')} was ended: ${reason}`, { cause: error });
      if (clock.monotonicMs() >= lastMoment) {
        throw new StoreUnusable(`etcd at ${endpoints.join(',')} gives no answer within ${timeoutMs} ms (setting --etcd-endpoints): ${reason}`, { cause: error });
      }
      if (clock.monotonicMs() >= tellMs) {
        settings.log?.('etcd gives no answer yet', { endpoints: endpoints.join(','), reason });
        tellMs = clock.monotonicMs() + TELL_WAITING_MS;
      }
      // The clock's timers would let the process end while nothing else is open yet.
      await pause(RETRY_MS);
    }
  }
}

function isRefusal(error: StoreUnavailable): boolean {
  return error.cause instanceof EtcdFailed && error.cause.failure.type === 'denied';
}
