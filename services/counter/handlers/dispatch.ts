/**
 * Adds on their way to their partitions: grouped, a command for each partition and chunk, and sent on
 * where a partition says that they belong elsewhere. No add has a promise, timer or closure of its own.
 */

import type { AddOutcome } from '../../kernel/counter/types.ts';
import type { Failure } from '../../kernel/failure.ts';
import { type AddBatch, Chunk, type ChunkOwner, type CountedOrFailed, type PendingAdd } from './chunk.ts';
import { Lanes } from './lanes.ts';
import { Layouts } from './layouts.ts';
import type { PartitionPort } from './partition-port.ts';
import type { CounterServices } from './service.ts';

/** The most adds that may be under way in this process. */
const MOST_OUTSTANDING = 262_144;
/** Adds are sent on at most so often; the slot that they belong to moves, or the counter comes and goes. */
const TRIES = 6;

export class Dispatcher implements ChunkOwner {
  private readonly services: CounterServices;
  private readonly lanes: Lanes;
  private readonly layouts = new Layouts();
  private outstanding = 0;

  constructor(services: CounterServices, port: PartitionPort) {
    this.services = services;
    this.lanes = new Lanes(port, this, services.clock);
  }

  send(batch: AddBatch, adds: readonly PendingAdd[]): void {
    this.outstanding += adds.length;
    if (this.outstanding > MOST_OUTSTANDING) this.fail(batch, adds, tooManyAdds(this.outstanding - adds.length));
    else this.sendOn(batch, adds, 0);
  }

  fail(batch: AddBatch, adds: readonly PendingAdd[], failure: Failure): void {
    const outcome: CountedOrFailed = { type: 'failed', failure };
    this.outstanding -= adds.length;
    for (const add of adds) batch.onOutcome(add, outcome);
  }

  private sendOn(batch: AddBatch, adds: readonly PendingAdd[], tries: number): void {
    const { service, session } = batch;
    const chunks = new Map<number, Chunk>();
    let last: Chunk | undefined;
    let counter = '';
    // Of all adds to the counter; undefined: each slot has its own.
    let common: number | undefined;
    for (const add of adds) {
      if (add.counter !== counter) {
        counter = add.counter;
        common = this.layouts.get(service, counter)?.kind === 'sharded' ? undefined : this.layouts.partitionOf(service, counter, session, 0, tries);
      }
      const partition = common ?? this.layouts.partitionOf(service, counter, session, add.sequence, tries);
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
      } else {
        this.outstanding--;
        batch.onOutcome(add, outcome);
      }
    }
    if (elsewhere === undefined) return;
    if (chunk.tries + 1 < TRIES) return this.sendOn(batch, elsewhere, chunk.tries + 1);
    for (const add of elsewhere) this.fail(batch, [add], unsettled(add.counter));
  }

  private submit(chunk: Chunk): void {
    const { service } = chunk.batch;
    const place = this.services.router.places.now(service.name, chunk.partition);
    if (place.type === 'local') place.term.submit({ type: 'request', origin: chunk, request: chunk.request }, 'work');
    // Led by another replica, or by nobody who is known: then it waits a moment for somebody who does.
    else this.lanes.send(chunk);
  }
}

function tooManyAdds(count: number): Failure {
  return { reason: 'OVERLOADED', message: `${count} adds are under way at this server, its limit; wait for results, then try again`, retryAfterMs: 100 };
}

function unsettled(counter: string): Failure {
  return {
    reason: 'COUNTER_CHANGING',
    message: `counter "${counter}" changed its places while the add was looking for its own; try again with the same token`,
    metadata: { counter },
    retryAfterMs: 100,
  };
}
