/** The servers of one row, with a store of their own. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEtcd } from '../../deploy/local/etcd.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { BenchServer } from './processes.ts';
import type { ServerUsage } from './server.ts';

export type StoreName = 'embedded' | 'etcd';

export interface Topology {
  readonly store: StoreName;
  /** Partitions of each service. */
  readonly partitions: number;
  /** On etcd: what each process runs. Embedded: one process runs everything. */
  readonly processes: readonly (readonly string[])[];
  readonly environment?: Readonly<Record<string, string>>;
  /** For Node. */
  readonly flags: readonly string[];
}

/** What a process on etcd hosts; nothing else. */
export function hosting(hosted: { readonly coordinator?: true; readonly participants?: string; readonly queues?: string; readonly counters?: string }): readonly string[] {
  const { coordinator = false, participants = '', queues = '', counters = '' } = hosted;
  return ['--coordinator', String(coordinator), '--participants', participants, '--queues', queues, '--counters', counters];
}

/** How long outcomes are kept: short, so that collecting them is part of what is measured. */
export const RETENTION = '30s';

/** Starts them, and ends and removes everything when it is over. */
export async function withServers<T>(topology: Topology, use: (servers: Servers) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-bench-'));
  const etcd = topology.store === 'etcd' ? await startEtcd({ etcd: await etcdPath() }) : undefined;
  const place = etcd === undefined ? ['--data-dir', folder] : ['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(',')];
  const servers = new Servers(topology, place);
  try {
    await servers.start();
    return await use(servers);
  } finally {
    await servers.stop();
    await etcd?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

export class Servers {
  private readonly topology: Topology;
  private readonly place: readonly string[];
  private running: BenchServer[] = [];

  constructor(topology: Topology, place: readonly string[]) {
    this.topology = topology;
    this.place = place;
  }

  /** Of the first process. */
  get address(): string {
    return this.running[0]!.address;
  }

  async start(): Promise<void> {
    const { store, partitions, processes, environment, flags } = this.topology;
    const common = ['--retention', RETENTION, '--partitions', String(partitions), ...this.place];
    for (const args of store === 'etcd' ? processes : [[]])
      this.running.push(await BenchServer.start([...common, ...args], environment, flags));
  }

  /** Of all processes together. */
  async usage(): Promise<ServerUsage> {
    const all = await Promise.all(this.running.map((server) => server.usage()));
    const sum = (pick: (usage: ServerUsage) => number): number => all.reduce((total, usage) => total + pick(usage), 0);
    return {
      writes: sum((usage) => usage.writes),
      operations: sum((usage) => usage.operations),
      cpuSeconds: sum((usage) => usage.cpuSeconds),
      rssMiB: sum((usage) => usage.rssMiB),
      heapMiB: sum((usage) => usage.heapMiB),
      anonymousMiB: sum((usage) => usage.anonymousMiB),
    };
  }

  async stop(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await Promise.all(this.running.map((server) => server.stop(signal)));
    this.running = [];
  }
}

export async function etcdPath(): Promise<string> {
  const tools = await requireGoTools('etcd');
  if (tools === undefined) throw new Error('the bench on etcd needs etcd on PATH, or Go to build it; --only transaction/embedded runs without');
  return tools.etcd;
}
