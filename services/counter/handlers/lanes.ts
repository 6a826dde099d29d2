/**
 * Chunks for partitions that are led elsewhere. For each partition and session one call is under way at
 * a time; what comes meanwhile goes together in the next one, so that many small messages make few
 * large calls.
 */

import * as grpc from '@grpc/grpc-js';
import { LIMITS, type AddsRequest, type DirectAdd } from '../../kernel/counter/types.ts';
import { MAX_AHEAD } from '../../kernel/sessions/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { fromOutcome, toAdds } from '../codec-partition.ts';
import type { Chunk, ChunkOwner } from './chunk.ts';
import type { PartitionPort } from './partition-port.ts';

/** Bound of one call; each caller has a deadline of its own, too. */
const CALL_MS = 60_000;

interface Lane {
  /** They wait for the call that is under way. */
  waiting: Chunk[];
}

export class Lanes {
  private readonly port: PartitionPort;
  private readonly owner: ChunkOwner;
  private readonly clock: Clock;
  private readonly lanes = new Map<string, Lane>();

  constructor(port: PartitionPort, owner: ChunkOwner, clock: Clock) {
    this.port = port;
    this.owner = owner;
    this.clock = clock;
  }

  send(chunk: Chunk): void {
    const { service, session, context } = chunk.batch;
    // What was forwarded is answered here, and not to be mixed with what may still be forwarded.
    const key = `${service.name}/${chunk.partition}/${session}/${context.forwarded}`;
    const lane = this.lanes.get(key);
    if (lane !== undefined) {
      lane.waiting.push(chunk);
      return;
    }
    const opened: Lane = { waiting: [] };
    this.lanes.set(key, opened);
    void this.run(key, opened, [chunk]);
  }

  private async run(key: string, lane: Lane, first: Chunk[]): Promise<void> {
    for (let chunks = first; chunks.length > 0; chunks = this.next(lane)) await this.call(chunks);
    // Nothing has come between the last look and this, in the same turn.
    this.lanes.delete(key);
  }

  /** As many as go into one request. */
  private next(lane: Lane): Chunk[] {
    const names = new Set<string>();
    const [first] = lane.waiting;
    let adds = 0;
    let count = 0;
    for (const chunk of lane.waiting) {
      if (Math.abs(chunk.batch.settledBelow - first!.batch.settledBelow) > MAX_AHEAD) break;
      for (const name of chunk.names) names.add(name);
      adds += chunk.adds.length;
      if (count > 0 && (names.size > LIMITS.counters || adds > LIMITS.adds)) break;
      count++;
    }
    return lane.waiting.splice(0, count);
  }

  private async call(chunks: readonly Chunk[]): Promise<void> {
    const [first] = chunks as [Chunk, ...Chunk[]];
    const { service, context } = first.batch;
    const together: CallContext = {
      signal: NEVER,
      deadlineMs: this.clock.nowMs() + CALL_MS,
      traceparent: context.traceparent,
      forwarded: context.forwarded,
      peer: 'this replica',
      metadata: new grpc.Metadata(),
    };
    try {
      const ask = { $case: 'adds' as const, value: toAdds(requestOf(chunks)) };
      const { outcomes } = await this.port.ask(service.name, first.partition, ask, 'added', together);
      let from = 0;
      for (const chunk of chunks) {
        const to = from + chunk.adds.length;
        this.owner.settle(chunk, outcomes.slice(from, to).map(fromOutcome));
        from = to;
      }
    } catch (error) {
      const failure: Failure = error instanceof FailureError ? error.failure : { reason: 'INTERNAL', message: `an add failed: ${String(error)}` };
      for (const chunk of chunks) chunk.onFailure(failure);
    }
  }
}

const NEVER = new AbortController().signal;

/** All of one session. The lowest mark holds for all; a higher one is heard with a later request. */
function requestOf(chunks: readonly Chunk[]): AddsRequest {
  const [first] = chunks as [Chunk, ...Chunk[]];
  if (chunks.length === 1) return first.request;
  const names = new Map<string, number>();
  const adds: DirectAdd[] = [];
  let settledBelow = Infinity;
  for (const chunk of chunks) {
    settledBelow = Math.min(settledBelow, chunk.batch.settledBelow);
    for (const { counter, amount, sequence } of chunk.adds) {
      const name = chunk.names[counter]!;
      let index = names.get(name);
      if (index === undefined) names.set(name, (index = names.size));
      adds.push({ counter: index, amount, sequence });
    }
  }
  return { type: 'add', session: first.batch.session, settledBelow, names: [...names.keys()], adds };
}
