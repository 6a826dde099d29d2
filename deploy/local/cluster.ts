/**
 * `npm run cluster`: three etcd members and several replicas of each service as processes of their
 * own on loopback. Replicas and members can be killed, paused and added by typing while it runs.
 */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { requireGoTools } from './go-tool.ts';
import { startEtcd, type EtcdCluster } from './etcd.ts';
import { readFlags } from './flags.ts';
import { ServerProcess } from './server-process.ts';

/** What a replica runs; a participant also what its cluster has no role for. */
export type Role = 'coordinator' | 'participant' | 'queue' | 'counter';

const ROLES = ['coordinator', 'participant'] as const;
/** Members are killed, but not the machine: what its system has taken is there when they start again. */
const ETCD_FLAGS = ['--unsafe-no-fsync'] as const;

/** The flags that make a server run its role and leave out what others run. */
function roleArgs(role: Role, roles: readonly Role[]): string[] {
  const runs = (other: Role): boolean => role === other || (role === 'participant' && !roles.includes(other));
  return [
    ...(runs('coordinator') ? [] : ['--coordinator', 'false']),
    ...(['participant', 'queue', 'counter'] as const).flatMap((other) => (runs(other) ? [] : [`--${other}s`, ''])),
  ];
}

export interface ClusterOptions {
  /** Replicas of each role at the start. */
  readonly replicas: number;
  /** Default: coordinator and participant. */
  readonly roles?: readonly Role[];
  /** Time to live of the leases, like "2s". */
  readonly lease: string;
  /** Further flags for every replica. */
  readonly args?: readonly string[];
  /** Members of etcd. Default 3. */
  readonly members?: number;
  /** The script that replicas run at the start. Default: this version's server. */
  readonly main?: string;
}

/** A mesh on loopback, under the caller's hand. */
export class LocalCluster {
  readonly etcd: EtcdCluster;
  readonly replicas = new Map<string, ServerProcess>();
  readonly folder: string;
  private readonly options: ClusterOptions;
  private started = 0;

  private constructor(etcd: EtcdCluster, folder: string, options: ClusterOptions) {
    this.etcd = etcd;
    this.folder = folder;
    this.options = options;
  }

  /** @returns undefined, after a loud line, where no etcd can be had. */
  static async start(options: ClusterOptions): Promise<LocalCluster | undefined> {
    const tools = await requireGoTools('etcd');
    if (tools === undefined) return undefined;
    const etcd = await startEtcd({ etcd: tools.etcd, members: options.members ?? 3, flags: ETCD_FLAGS });
    const cluster = new LocalCluster(etcd, mkdtempSync(join(tmpdir(), 'txmesh-cluster-')), options);
    try {
      const roles = Array.from({ length: options.replicas }, () => options.roles ?? ROLES).flat();
      await Promise.all(roles.map((role) => cluster.add(role, options.main)));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get addresses(): string[] {
    return [...this.replicas.values()].filter((replica) => replica.running).map((replica) => replica.address);
  }

  /** Starts one more replica, of this version unless another server's script is given; returns its name. */
  async add(role: Role, main?: string): Promise<string> {
    const name = `${role}-${++this.started}`;
    const replica = await ServerProcess.start({
      ...(main !== undefined && { main }),
      logFile: join(this.folder, `${name}.log`),
      args: [
        ...['--store', 'etcd', '--etcd-endpoints', this.etcd.endpoints.join(',')],
        ...['--port', '0', '--lease', this.options.lease],
        ...roleArgs(role, this.options.roles ?? ROLES),
        ...(this.options.args ?? []),
      ],
    });
    this.replicas.set(name, replica);
    return name;
  }

  /** Ends everything and removes etcd's data; the replicas' logs stay. */
  async stop(): Promise<void> {
    await Promise.all(
      [...this.replicas.values()].map((replica) => {
        replica.resume();
        return replica.stop();
      }),
    );
    await this.etcd.stop();
  }
}

const USAGE = `
npm run cluster: three etcd members and two replicas of each service on loopback, until "quit" or Ctrl-C. Members
and replicas can be killed, paused and added by typing. It needs etcd 3.6 on PATH, or Go to build it.
`;

const HELP = `type: list | add coordinator | add participant | kill NAME | stop NAME | pause NAME | resume NAME | quit`;

function list(cluster: LocalCluster): string {
  const members = cluster.etcd.members.map((member, i) => `  etcd-${i + 1}`.padEnd(18) + member.endpoint);
  const replicas = [...cluster.replicas].map(
    ([name, r]) => `  ${name}`.padEnd(18) + `${r.running ? r.address : 'ended'}`.padEnd(24) + `pid ${r.pid}  log ${r.logFile}`,
  );
  return [...members, ...replicas].join('\n');
}

async function obey(cluster: LocalCluster, line: string): Promise<string> {
  const [verb = '', name = ''] = line.trim().split(/\s+/);
  if (verb === '') return '';
  if (verb === 'list') return list(cluster);
  if (verb === 'add' && (name === 'coordinator' || name === 'participant')) {
    const added = await cluster.add(name);
    return `${added} serves at ${cluster.replicas.get(added)!.address}`;
  }
  const member = /^etcd-([123])$/.exec(name)?.[1];
  if (member !== undefined) {
    const etcd = cluster.etcd.members[Number(member) - 1]!;
    if (verb === 'kill') await etcd.kill();
    else if (verb === 'pause') etcd.pause();
    else if (verb === 'resume') etcd.resume();
    else if (verb === 'start') etcd.start();
    else return HELP;
    return `${name}: ${verb}, done`;
  }
  const replica = cluster.replicas.get(name);
  if (replica === undefined) return `there is no ${name || 'such name'}; ${HELP}`;
  if (verb === 'kill') await replica.kill();
  else if (verb === 'stop') await replica.stop();
  else if (verb === 'pause') replica.pause();
  else if (verb === 'resume') replica.resume();
  else return HELP;
  return `${name}: ${verb}, done`;
}

async function main(): Promise<void> {
  readFlags(USAGE, {});
  const cluster = await LocalCluster.start({ replicas: 2, lease: '3s' });
  if (cluster === undefined) process.exit(1);
  console.log(`${list(cluster)}\n\n${HELP}`);
  const input = createInterface({ input: process.stdin });
  const ended = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    input.on('line', (line) => {
      if (line.trim() === 'quit') resolve();
      else obey(cluster, line).then(console.log, (error: unknown) => console.error(String(error)));
    });
  });
  await ended;
  input.close();
  console.log('stopping');
  await cluster.stop();
}

if (import.meta.main) await main();
