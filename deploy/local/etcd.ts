/**
 * etcd for tests: one server or a cluster of several on free loopback ports, in a folder of its own,
 * under the caller's hand: it can be killed, paused, resumed and started again where it was.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface EtcdOptions {
  /** Paths of the programs; see go-tool.ts. etcdctl is needed for `etcdctl`, and with `rootPassword`. */
  readonly etcd: string;
  readonly etcdctl?: string;
  /** Number of members. Default 1. */
  readonly members?: number;
  /** More flags for every member, like --quota-backend-bytes=16777216. */
  readonly flags?: readonly string[];
  /** Turns on authentication, with a user "root" of this password. */
  readonly rootPassword?: string;
  /** Paths of PEM files: clients must speak TLS, and with `clientCa` show a certificate. */
  readonly tls?: EtcdTls;
  /** Every member begins with this snapshot (etcdctl snapshot save), put into its folder by this etcdutl. */
  readonly restore?: { readonly snapshot: string; readonly etcdutl: string };
}

export interface EtcdTls {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
  /** With which this helper itself asks. */
  readonly ca: string;
  readonly clientCert?: string;
  readonly clientKey?: string;
}

export interface EtcdCluster {
  readonly endpoints: readonly string[];
  readonly members: readonly EtcdMember[];
  /** @returns what it prints. */
  etcdctl(...commands: string[]): Promise<string>;
  /** Ends every member and removes the folder. */
  stop(): Promise<void>;
}

/** The flags of a member that etcd and etcdutl have in common. */
interface MemberOf {
  readonly name: string;
  readonly 'data-dir': string;
  readonly 'initial-advertise-peer-urls': string;
  readonly 'initial-cluster': string;
}

const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 50;
const HEALTH_TIMEOUT_MS = 2_000;
const ETCDCTL_TIMEOUT_MS = 10_000;

export class EtcdMember {
  readonly endpoint: string;
  readonly #metricsUrl: string;
  readonly #program: string;
  readonly #flags: readonly string[];
  readonly #logFile: string;
  readonly #cluster: MemberOf;
  #child: ChildProcess | undefined;

  constructor(endpoint: string, metricsUrl: string, program: string, cluster: MemberOf, flags: readonly string[], logFile: string) {
    this.endpoint = endpoint;
    this.#metricsUrl = metricsUrl;
    this.#program = program;
    this.#cluster = cluster;
    this.#flags = flags;
    this.#logFile = logFile;
  }

  /** Puts a snapshot into its folder, which must not be there yet: it becomes a member of a new cluster. */
  async restore({ snapshot, etcdutl }: NonNullable<EtcdOptions['restore']>): Promise<void> {
    const flags = Object.entries(this.#cluster).map(([flag, value]) => `--${flag}=${value}`);
    await run(etcdutl, ['snapshot', 'restore', snapshot, ...flags]);
  }

  /** Starts it, or starts it again on what it has on disk. Does not wait until it answers. */
  start(): void {
    if (this.#child !== undefined) throw new Error(`etcd at ${this.endpoint} runs already`);
    const log = openSync(this.#logFile, 'a');
    const child = spawn(this.#program, this.#flags, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    // A server outlives a test process that crashes, unless it is taken along.
    const takeAlong = (): void => void child.kill('SIGKILL');
    process.once('exit', takeAlong);
    const ended = (): void => {
      process.off('exit', takeAlong);
      if (this.#child === child) this.#child = undefined;
    };
    child.once('error', ended);
    child.once('exit', ended);
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** Whether it answers and knows a leader. */
  async isHealthy(): Promise<boolean> {
    return fetch(`${this.#metricsUrl}/health`, { signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS) }).then(({ ok }) => ok, () => false);
  }

  /** Whether it leads the members. */
  async isLeader(): Promise<boolean> {
    const metrics = await fetch(`${this.#metricsUrl}/metrics`, { signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS) }).then((response) => response.text(), () => '');
    return /^etcd_server_is_leader 1$/m.test(metrics);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** It keeps its connections and answers nothing. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async log(): Promise<string> {
    return readFile(this.#logFile, 'utf8').catch(() => '');
  }
}

/** Resolves when every member answers and knows a leader. */
export async function startEtcd(options: EtcdOptions): Promise<EtcdCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'txmesh-etcd-'));
  const members = await layOut(folder, options);
  const etcdctl = (user: string | undefined, ...commands: string[]): Promise<string> => runEtcdctl(options, members, user, commands);
  const root = options.rootPassword === undefined ? undefined : `root:${options.rootPassword}`;
  const stop = async (): Promise<void> => {
    await Promise.all(members.map((member) => member.kill()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    if (options.restore !== undefined) for (const member of members) await member.restore(options.restore);
    for (const member of members) member.start();
    await awaitReady(members);
    if (root !== undefined) {
      await etcdctl(undefined, 'user', 'add', root);
      await etcdctl(undefined, 'user', 'grant-role', 'root', 'root');
      await etcdctl(undefined, 'auth', 'enable');
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoints: members.map(({ endpoint }) => endpoint),
    members,
    etcdctl: (...commands) => etcdctl(root, ...commands),
    stop,
  };
}

async function layOut(folder: string, { etcd, members: count = 1, flags = [], tls }: EtcdOptions): Promise<EtcdMember[]> {
  const ports = await freePorts(count * 3);
  const scheme = tls === undefined ? 'http' : 'https';
  const plan = Array.from({ length: count }, (_, index) => ({
    name: `m${index}`,
    client: `${scheme}://127.0.0.1:${ports[index * 3]}`,
    peer: `http://127.0.0.1:${ports[index * 3 + 1]}`,
    metrics: `http://127.0.0.1:${ports[index * 3 + 2]}`,
  }));
  const tlsFlags = tls === undefined ? [] : [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`];
  if (tls?.clientCa !== undefined) tlsFlags.push('--client-cert-auth', `--trusted-ca-file=${tls.clientCa}`);
  return plan.map(({ name, client, peer, metrics }) => {
    const cluster: MemberOf = {
      name,
      'data-dir': join(folder, name),
      'initial-advertise-peer-urls': peer,
      'initial-cluster': plan.map((each) => `${each.name}=${each.peer}`).join(','),
    };
    const all = [
      ...Object.entries(cluster).map(([flag, value]) => `--${flag}=${value}`),
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--listen-metrics-urls=${metrics}`,
      '--log-level=warn',
      ...tlsFlags,
      ...flags,
    ];
    return new EtcdMember(client, metrics, etcd, cluster, all, join(folder, `${name}.log`));
  });
}

/** Asks each member's metrics port, which speaks plain HTTP whatever the clients must speak. */
async function awaitReady(members: readonly EtcdMember[]): Promise<void> {
  const lastMoment = Date.now() + READY_TIMEOUT_MS;
  for (const member of members) {
    while (!(await member.isHealthy())) {
      if (!member.running || Date.now() > lastMoment) throw new Error(`etcd at ${member.endpoint} does not answer:\n${await member.log()}`);
      await pause(READY_POLL_MS);
    }
  }
}

async function runEtcdctl(options: EtcdOptions, members: readonly EtcdMember[], user: string | undefined, commands: string[]): Promise<string> {
  if (options.etcdctl === undefined) throw new Error('startEtcd was given no etcdctl');
  const { tls } = options;
  const flags = [`--endpoints=${members.filter(({ running }) => running).map(({ endpoint }) => endpoint).join(',')}`];
  if (user !== undefined) flags.push(`--user=${user}`);
  if (tls !== undefined) flags.push(`--cacert=${tls.ca}`);
  if (tls?.clientCert !== undefined) flags.push(`--cert=${tls.clientCert}`, `--key=${tls.clientKey}`);
  const { stdout } = await run(options.etcdctl, [...flags, ...commands], { timeout: ETCDCTL_TIMEOUT_MS });
  return stdout;
}

/** Held all at once, then freed all at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  }));
  const ports = servers.map((server) => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a listening server has a port');
    return address.port;
  });
  await Promise.all(servers.map(async (server) => {
    const closed = once(server, 'close');
    server.close();
    await closed;
  }));
  return ports;
}
