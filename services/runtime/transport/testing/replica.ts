/** A replica for tests of links: a server with Exchange, links, and terms that write down what they hear. */

import { onTestFinished } from 'vitest';
import type { Failure } from '../../../kernel/failure.ts';
import type { Attempt } from '../../../kernel/attempt.ts';
import type { BranchId, OpaqueOperation, Prepare } from '../../../kernel/messages.ts';
import { systemClock } from '../../clock.ts';
import type { External, Leader, Member, Service } from '../../cluster/view.ts';
import type { Priority } from '../../partition/term.ts';
import { Channels } from '../channels.ts';
import { Links, participantService, type LinkCommand, type LinkSettings, type LinkTerm } from '../links/index.ts';
import type { MeshServer } from '../server.ts';
import type { Handlers } from '../service.ts';
import { openServer, type LogLine } from './mesh.ts';

export const CLUSTER = '0198c0de-0000-4000-8000-000000000001';

/** What every replica of a test sees; changes are told with `changed()`. */
export class TestView {
  readonly services = new Map<string, Service>([
    ['coordinator', { name: 'coordinator', kind: 'coordinator', partitions: 4 }],
    ['stock', { name: 'stock', kind: 'key-value', partitions: 4 }],
  ]);
  readonly members = new Map<string, Member>();
  readonly externals = new Map<string, External>();
  readonly leaders = new Map<string, Leader>();
  private readonly listeners = new Set<() => void>();

  leader = (service: string, partition: number): Leader | undefined => this.leaders.get(`${service}/${partition}`);
  service = (name: string): Service | undefined => this.services.get(name);
  onChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  changed(): void {
    for (const listener of this.listeners) listener();
  }
}

export class TestTerm implements LinkTerm {
  readonly epoch: number;
  readonly heard: { readonly command: LinkCommand; readonly priority: Priority }[] = [];

  constructor(epoch: number) {
    this.epoch = epoch;
  }

  /** Why it takes nothing. */
  refusal: Failure | undefined;

  submit(command: LinkCommand, priority: Priority): Failure | undefined {
    if (this.refusal === undefined) this.heard.push({ command, priority });
    return this.refusal;
  }

  /** The messages heard, without marks. */
  get messages(): readonly { readonly type: string; readonly branch: BranchId; readonly failure?: Failure }[] {
    return this.heard.flatMap(({ command }) => (command.type === 'message' ? [command.message] : []));
  }
}

export interface TestReplica {
  readonly address: string;
  readonly server: MeshServer;
  readonly links: Links;
  readonly logs: readonly LogLine[];
  /** Makes this replica lead a partition. */
  lead(service: string, partition: number, epoch: number): TestTerm;
  /** Makes it stop leading without telling anybody. */
  forget(service: string, partition: number): void;
}

export const TEST_SETTINGS: Partial<LinkSettings> = { heartbeatMs: 20, markMs: 5, connectMs: 2_000, reconnectMs: 5, reconnectCapMs: 20 };

export async function openReplica(
  view: TestView,
  { port = 0, clusterId = CLUSTER, settings = {} }: { port?: number; clusterId?: string; settings?: Partial<LinkSettings> } = {},
): Promise<TestReplica> {
  const { server, logs } = openServer();
  const terms = new Map<string, TestTerm>();
  server.add(participantService(systemClock), {
    exchange: (call, context): Promise<void> => links.exchange(call, context),
  } as Handlers<ReturnType<typeof participantService>>);
  const address = `127.0.0.1:${await server.listen('127.0.0.1', port)}`;
  const channels = new Channels({ clock: systemClock });
  const links: Links = new Links({
    clusterId,
    address,
    view,
    term: (service, partition) => terms.get(`${service}/${partition}`),
    decodeOperations: (_, operations) =>
      operations.some(({ typeUrl }) => typeUrl === 'unknown')
        ? { reason: 'UNKNOWN_OPERATION', message: 'unknown' }
        : operations.map(({ value }) => Buffer.from(value).toString()),
    channels,
    clock: systemClock,
    entropy: () => 0.5,
    log: (message, fields) => void logs.push({ message, fields }),
    settings: { ...TEST_SETTINGS, ...settings },
  });
  onTestFinished(() => {
    links.close();
    channels.close();
  });
  view.members.set(address, { replica: address, address, services: ['coordinator', 'stock'] });
  return {
    address,
    server,
    links,
    logs,
    lead(service, partition, epoch) {
      const term = new TestTerm(epoch);
      terms.set(`${service}/${partition}`, term);
      view.leaders.set(`${service}/${partition}`, { replica: address, address, epoch });
      view.changed();
      if (service === 'coordinator') links.mark({ coordinatorPartition: partition, lowWaterMark: { epoch, counter: 1 } });
      return term;
    },
    forget: (service, partition) => void terms.delete(`${service}/${partition}`),
  };
}

let transactions = 0;

export function branchOf(attempt: Attempt, partition = 0, participant = 'stock', coordinatorPartition = 0): BranchId {
  const transactionId = `0198c0de-0000-7000-8000-${(++transactions).toString(16).padStart(12, '0')}`;
  return { transactionId, attempt, coordinatorPartition, participant, partition };
}

export function prepareOf(branch: BranchId, operations: readonly OpaqueOperation[] = [], waitMs = 1000): Prepare {
  return { type: 'prepare', branch, operations, firstTryMs: 1, deadlineMs: Date.now() + waitMs, readOnly: false };
}

export const operation = (text: string, typeUrl = 'x'): OpaqueOperation => ({ typeUrl, value: new TextEncoder().encode(text) });
