/** For tests: partitions of a counter service. */

import type { BranchId, ToCoordinator } from '../../messages.ts';
import { ParticipantKernel } from '../../participant/kernel.ts';
import { branchOf, id, PartitionHarness } from '../../participant/testing/partition.ts';
import { DEFAULT_SETTINGS, type ParticipantRecord, type ParticipantReply } from '../../participant/types.ts';
import { compare, type KernelHarnessOptions } from '../../testing/harness.ts';
import { COUNTER_PREFIX } from '../keys.ts';
import { homeOf } from '../placement.ts';
import { CounterResource } from '../resource.ts';
import {
  type AddOutcome,
  type CounterBug,
  type CounterRecord,
  type CounterEvent,
  type CounterOperation,
  type CounterQuery,
  type CounterRequest,
  type CounterResponse,
  type CounterSettings,
  type CounterTypes,
  type CounterView,
  type CreateOperation,
  DEFAULT_COUNTER_SETTINGS,
} from '../types.ts';

export { id };
export { START_MS } from '../../participant/testing/partition.ts';

type T = CounterTypes;
type Reply = ParticipantReply<T>;

export interface HarnessOptions extends KernelHarnessOptions<ParticipantRecord<T>> {
  readonly partition?: number;
  readonly partitions?: number;
  readonly counter?: Partial<CounterSettings>;
  readonly bugs?: readonly CounterBug[];
}

export const branch = (n: number, counter?: number): BranchId => branchOf('counter', 0, n, counter);

export function create(name: string, more: Partial<CreateOperation> = {}): CreateOperation {
  return { type: 'create', name, id: `id of ${name}`, kind: 'strong', bounds: { minimum: undefined, maximum: undefined }, value: 0n, shards: 0, ...more };
}

export function add(name: string, amount: bigint): CounterOperation {
  return { type: 'add', name, amount };
}

export class Harness extends PartitionHarness<T, CounterEvent, CounterResource> {
  readonly partition: number;
  readonly partitions: number;
  private readonly options: HarnessOptions;
  private numbers = 0;

  constructor(options: HarnessOptions = {}) {
    super({ copy: (_, record) => structuredClone(record), ...options });
    this.options = options;
    this.partition = options.partition ?? 0;
    this.partitions = options.partitions ?? 1;
    this.restart();
  }

  protected build(): { kernel: ParticipantKernel<T>; resource: CounterResource } {
    const { counter, bugs } = this.options;
    const { partition, partitions } = this;
    const resource = new CounterResource(
      { ...DEFAULT_COUNTER_SETTINGS, participant: 'counter', partition, partitions, clusterId: 'cluster', ...counter },
      new Set(bugs),
    );
    const kernel = new ParticipantKernel<T>({ settings: { ...DEFAULT_SETTINGS, participant: 'counter', partition }, resource });
    resource.watched = true;
    return { kernel, resource };
  }

  /** Counters that are loaded on demand too. */
  protected override compareMore({ resource }: { readonly resource: CounterResource }): void {
    for (const key of this.stored(COUNTER_PREFIX)) {
      const name = key.slice(COUNTER_PREFIX.length);
      resource.admit(key, this.load(key) as CounterRecord);
      const inMemory = this.resource.find(name);
      if (inMemory !== undefined) compare(inMemory.toRecord(), resource.find(name)!.toRecord());
    }
  }

  local(operations: readonly CounterOperation[], n = 1_000_000 + ++this.numbers): Reply | undefined {
    const { nowMs } = this;
    return this.run({ type: 'local', origin: this.origin(), transactionId: id(n), fingerprint: 'f', operations, firstTryMs: nowMs, deadlineMs: nowMs })[0];
  }

  prepare(branch: BranchId, operations: readonly CounterOperation[]): ToCoordinator | undefined {
    const { nowMs, partition } = this;
    return this.hear({ type: 'prepare', branch: { ...branch, partition }, operations, firstTryMs: nowMs, deadlineMs: nowMs, readOnly: false })[0];
  }

  tell(type: 'commit' | 'abort', branch: BranchId): void {
    this.hear({ type, branch: { ...branch, partition: this.partition } });
  }

  request(request: CounterRequest): CounterResponse | undefined {
    const reply = this.run({ type: 'request', origin: this.origin(), request })[0];
    return reply?.type === 'response' ? reply.response : undefined;
  }

  add(name: string, amount: bigint, session: number, sequence: number, settledBelow = 1): AddOutcome | undefined {
    const adds = [{ counter: 0, amount, sequence }];
    const response = this.request({ type: 'add', session: id(session), settledBelow, names: [name], adds });
    return response?.type === 'added' ? response.outcomes[0] : undefined;
  }

  /** A read's reply; undefined: it waits. */
  read(query: CounterQuery, consistency: 'linearizable' | 'eventual' = 'eventual'): Reply | undefined {
    return this.run({ type: 'read', origin: this.origin(), query, consistency, deadlineMs: this.nowMs + 1000 })[0];
  }

  view(name: string): CounterView | undefined {
    const reply = this.read({ type: 'counters', names: [name] });
    return reply?.type === 'read' && reply.answer.type === 'counters' ? reply.answer.views[0] : undefined;
  }
}

/** Partitions of one service, with what the mover and the handlers do. */
export class Service {
  readonly partitions: readonly Harness[];

  constructor(count: number, options: HarnessOptions = {}) {
    this.partitions = Array.from({ length: count }, (_, partition) => new Harness({ ...options, partition, partitions: count }));
  }

  home(name: string): Harness {
    return this.partitions[homeOf(name, this.partitions.length)]!;
  }

  /** At every partition; false if one refuses. */
  everywhere(operation: CounterOperation): boolean {
    const n = Math.floor(this.partitions[0]!.nowMs) % 1_000_000;
    const votes = this.partitions.map((partition) => partition.prepare(branch(n), [operation]));
    const yes = votes.every((vote) => vote?.type === 'vote' && vote.vote === 'yes');
    for (const partition of this.partitions) partition.tell(yes ? 'commit' : 'abort', branch(n));
    for (const partition of this.partitions) partition.nowMs++;
    return yes;
  }

  /** Sum of the slots: of each the highest generation. Undefined: one can't be found. */
  sum(name: string): bigint | undefined {
    const found = new Map<number, { generation: number; value: bigint }>();
    for (const partition of this.partitions) {
      for (const { slot, generation, state, value } of partition.view(name)?.slots ?? []) {
        if (state !== 'left' && (found.get(slot)?.generation ?? 0) < generation) found.set(slot, { generation, value });
      }
    }
    if (found.size !== 65) return undefined;
    let sum = 0n;
    for (const { value } of found.values()) sum += value;
    return sum;
  }
}
