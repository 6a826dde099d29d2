/**
 * Adds on their way to their partitions: grouped, a command for each partition and chunk, and sent on
 * where a partition says that they belong elsewhere. No add has a promise, timer or closure of its own.
 */

import type { AddOutcome, AddsRequest, DirectAdd } from '../../kernel/counter/types.ts';
import { LIMITS } from '../../kernel/counter/types.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { Requester } from '../../runtime/partition/term.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { fromOutcome, toAdds } from '../codec-partition.ts';
import { Layouts } from './layouts.ts';
import type { PartitionPort } from './partition-port.ts';
import type { CounterReply, CounterServices } from './service.ts';

/** An add and whoever waits for it. */
export interface PendingAdd {
  readonly counter: string;
  readonly sequence: number;
  readonly amount: bigint;
}

/** Adds of one session that came together. */
export interface AddBatch {
  readonly service: Service;
  readonly session: string;
  readonly settledBelow: number;
  /** Of the caller; its deadline and traceparent go along. */
  readonly context: CallContext;
  /** Called once for each add, unless nobody waits any more. */
  onOutcome(add: PendingAdd, outcome: CountedOrFailed): void;
}

export type CountedOrFailed = Exclude<AddOutcome, { readonly type: 'elsewhere' }>;

/** Adds are sent on at most so often; the slot that they belong to moves, or the counter comes and goes. */
const TRIES = 6;

/** Adds for one partition, in one command. */
class Chunk implements Requester<CounterReply> {
  readonly names: string[] = [];
  readonly adds: DirectAdd[] = [];
  readonly pending: PendingAdd[] = [];
  readonly partition: number;
  readonly batch: AddBatch;
  readonly tries: number;
  private readonly dispatcher: Dispatcher;
  private lastName = '';
  private lastIndex = -1;

  constructor(dispatcher: Dispatcher, batch: AddBatch, partition: number, tries: number) {
    this.dispatcher = dispatcher;
    this.batch = batch;
    this.partition = partition;
    this.tries = tries;
  }

  get caller(): { readonly traceparent: string | undefined } {
    return this.batch.context;
  }

  /** False: it is full. */
  take(add: PendingAdd): boolean {
    if (this.adds.length === LIMITS.adds) return false;
    if (add.counter !== this.lastName || this.lastIndex < 0) {
      let index = this.names.indexOf(add.counter);
      if (index < 0) {
        if (this.names.length === LIMITS.counters) return false;
        index = this.names.push(add.counter) - 1;
      }
      this.lastName = add.counter;
      this.lastIndex = index;
    }
    this.adds.push({ counter: this.lastIndex, amount: add.amount, sequence: add.sequence });
    this.pending.push(add);
    return true;
  }

  get request(): AddsRequest {
    const { session, settledBelow } = this.batch;
    return { type: 'add', session, settledBelow, names: this.names, adds: this.adds };
  }

  onReply(reply: CounterReply): void {
    if (reply.type === 'response' && reply.response.type === 'added') this.dispatcher.settle(this, reply.response.outcomes);
    else if (reply.type === 'failure') this.onFailure(reply.failure);
  }

  onFailure(failure: Failure): void {
    const outcome: CountedOrFailed = { type: 'failed', failure };
    for (const add of this.pending) this.batch.onOutcome(add, outcome);
  }
}

export class Dispatcher {
  private readonly services: CounterServices;
  private readonly port: PartitionPort;
  private readonly layouts = new Layouts();

  constructor(services: CounterServices, port: PartitionPort) {
    this.services = services;
    this.port = port;
  }

  send(batch: AddBatch, adds: readonly PendingAdd[], tries = 0): void {
    const { service, session } = batch;
    const chunks = new Map<number, Chunk>();
    let last: Chunk | undefined;
    for (const add of adds) {
      const partition = this.layouts.partitionOf(service, add.counter, session, add.sequence, tries);
      let chunk = last?.partition === partition ? last : chunks.get(partition);
      if (chunk === undefined) chunks.set(partition, (chunk = new Chunk(this, batch, partition, tries)));
      if (!chunk.take(add)) {
        this.submit(chunk);
        chunks.set(partition, (chunk = new Chunk(this, batch, partition, tries)));
        chunk.take(add);
      }
      last = chunk;
    }
    for (const chunk of chunks.values()) this.submit(chunk);
  }

  settle(chunk: Chunk, outcomes: readonly AddOutcome[]): void {
    const { batch, pending } = chunk;
    let elsewhere: PendingAdd[] | undefined;
    for (let i = 0; i < pending.length; i++) {
      const add = pending[i]!;
      const outcome = outcomes[i]!;
      if (outcome.type === 'elsewhere') {
        this.layouts.hear(batch.service, add.counter, outcome.layout);
        (elsewhere ??= []).push(add);
      } else batch.onOutcome(add, outcome);
    }
    if (elsewhere === undefined) return;
    if (chunk.tries + 1 < TRIES) return this.send(batch, elsewhere, chunk.tries + 1);
    for (const add of elsewhere) batch.onOutcome(add, { type: 'failed', failure: unsettled(add.counter) });
  }

  private submit(chunk: Chunk): void {
    const { service, context } = chunk.batch;
    const place = this.services.router.places.now(service.name, chunk.partition);
    if (place.type === 'local') place.term.submit({ type: 'request', origin: chunk, request: chunk.request }, 'work');
    else void this.submitElsewhere(chunk, context);
  }

  /** Led by another replica, or by nobody who is known: then it waits a moment for somebody who does. */
  private async submitElsewhere(chunk: Chunk, context: CallContext): Promise<void> {
    const { service } = chunk.batch;
    try {
      const ask = { $case: 'adds' as const, value: toAdds(chunk.request) };
      const { outcomes } = await this.port.ask(service.name, chunk.partition, ask, 'added', context);
      this.settle(chunk, outcomes.map(fromOutcome));
    } catch (error) {
      if (error instanceof FailureError) chunk.onFailure(error.failure);
      else chunk.onFailure({ reason: 'INTERNAL', message: `an add failed: ${String(error)}` });
    }
  }
}

function unsettled(counter: string): Failure {
  return {
    reason: 'COUNTER_CHANGING',
    message: `counter "${counter}" changed its places while the add was looking for its own; try again with the same token`,
    metadata: { counter },
    retryAfterMs: 100,
  };
}
