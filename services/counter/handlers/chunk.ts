/** Adds of one session for one partition, in one command. */

import { type AddsRequest, type DirectAdd, LIMITS } from '../../kernel/counter/types.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import type { Requester } from '../../runtime/partition/types.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import type { AddOutcome } from '../../kernel/counter/types.ts';
import type { CounterReply } from './service.ts';

/** An add and whoever waits for it. */
export interface PendingAdd {
  readonly counter: string;
  readonly sequence: number;
  readonly amount: bigint;
}

export type CountedOrFailed = Exclude<AddOutcome, { readonly type: 'elsewhere' }>;

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

/** Told what became of a chunk. */
export interface ChunkOwner {
  settle(chunk: Chunk, outcomes: readonly AddOutcome[]): void;
  fail(batch: AddBatch, adds: readonly PendingAdd[], failure: Failure): void;
}

export class Chunk implements Requester<CounterReply> {
  readonly names: string[] = [];
  readonly adds: DirectAdd[] = [];
  readonly pending: PendingAdd[] = [];
  readonly partition: number;
  readonly batch: AddBatch;
  readonly tries: number;
  private readonly owner: ChunkOwner;
  private lastName = '';
  private lastIndex = -1;

  constructor(owner: ChunkOwner, batch: AddBatch, partition: number, tries: number) {
    this.owner = owner;
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
    if (reply.type === 'response' && reply.response.type === 'added') this.owner.settle(this, reply.response.outcomes);
    else if (reply.type === 'failure') this.onFailure(reply.failure);
  }

  onFailure(failure: Failure): void {
    this.owner.fail(this.batch, this.pending, failure);
  }
}
