/**
 * WatchTransactions: for each partition the log of decisions from the position on, then what happens.
 * Every partition begins with an empty answer that states the position from which it is watched, so
 * that a watch can be resumed before anything has happened.
 */

import {
  CoordinatorServiceService,
  type TransactionEvent,
  type WatchTransactionsRequest,
  type WatchTransactionsResponse,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type * as kernel from '../../kernel/coordinator/types.ts';
import { COORDINATOR } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { follow, FROM_NOW, merge, type Start } from '../../runtime/router/follow.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { DecisionLog } from './decision-log.ts';
import { ask, coordinatorPartitions, partitionOfId, validate, type CoordinatorServices, type CoordinatorTerm } from './service.ts';
import { watchRequest } from './validate.ts';
import { toEvent } from './wire.ts';

/** Most events of one answer. */
const EVENTS = 256;

export function watchTransactions(
  services: CoordinatorServices,
  request: WatchTransactionsRequest,
  context: CallContext,
): AsyncGenerator<WatchTransactionsResponse> {
  const partitions = coordinatorPartitions(services);
  validate(watchRequest(partitions), request);
  const { forwarded } = context;
  const named = new Map(request.positions.map(({ partition, sequence }) => [partition, sequence]));
  const all = request.transactionId === '' ? Array.from({ length: partitions }, (_, i) => i) : [partitionOfId(services, request.transactionId)];
  // A forwarded watch is of the partitions that it names.
  const watched = forwarded ? all.filter((partition) => named.has(partition)) : all;
  return merge(context.signal, (signal) =>
    watched.map((partition) =>
      follow<CoordinatorTerm, WatchTransactionsResponse>(services.router, {
        service: COORDINATOR,
        partition,
        start: startOf(named.get(partition), request.fromStart, forwarded),
        forwarded,
        signal,
        local: (term, start) => watchPartition(services, term, partition, start, request.transactionId, { ...pick(context), signal }),
        remote: (leader, start) =>
          services.router.channels.stream(leader.address, CoordinatorServiceService.watchTransactions, forwardedRequest(request, partition, start), {
            signal,
            traceparent: context.traceparent,
            forwarded: true,
          }),
        position: (response) => response.position!.sequence,
      }),
    ),
  );
}

function startOf(sequence: number | undefined, fromStart: boolean, forwarded: boolean): Start {
  if (sequence === undefined || (forwarded && sequence === FROM_NOW)) return fromStart ? 'oldest' : 'now';
  return { after: sequence };
}

function forwardedRequest({ transactionId }: WatchTransactionsRequest, partition: number, start: Start): WatchTransactionsRequest {
  const sequence = typeof start === 'object' ? start.after : FROM_NOW;
  return { transactionId, positions: [{ partition, sequence }], fromStart: start === 'oldest' };
}

/** A context's own properties are made on demand and not copied. */
function pick(context: CallContext): CallContext {
  const { deadlineMs, traceparent, forwarded, peer, metadata, signal } = context;
  return { deadlineMs, traceparent, forwarded, peer, metadata, signal };
}

async function* watchPartition(
  services: CoordinatorServices,
  term: CoordinatorTerm,
  partition: number,
  start: Start,
  transactionId: string,
  context: CallContext,
): AsyncGenerator<WatchTransactionsResponse> {
  const subscription = term.events.subscribe();
  const close = (): void => subscription.close();
  context.signal.addEventListener('abort', close);
  try {
    // Once this is answered, all that was decided before events were made for us is in the log.
    await ask(services, term, 'transactions', context, false, (origin) => ({ type: 'list-active', origin, afterId: '', limit: 1 }));
    const log = new DecisionLog(services, partition);
    const { compacted, last } = await log.bounds();
    let position = start === 'now' ? last : start === 'oldest' ? compacted : start.after;
    requirePosition(partition, position, compacted, last);
    yield { events: [], position: { partition, sequence: position } };
    const wanted = transactionId === '' ? undefined : transactionId;
    while (position < last) {
      const batches = await log.readAfter(position, wanted);
      if (batches[0] === undefined || batches[0].sequence !== position + 1) {
        requirePosition(partition, position, (await log.bounds()).compacted, last);
        break;
      }
      for (const { sequence, events } of batches) {
        yield* answers(partition, position, sequence, events);
        position = sequence;
      }
    }
    for (;;) {
      const events = (await subscription.next()).filter((event) => !isDecision(event) || event.sequence > position);
      for (const group of bySequence(events)) {
        const { sequence } = group[0]!;
        const next = group.some(isDecision) ? sequence : position;
        yield* answers(partition, position, next, wanted === undefined ? group : group.filter(({ transaction }) => transaction.transactionId === wanted));
        position = next;
      }
    }
  } finally {
    context.signal.removeEventListener('abort', close);
    subscription.close();
  }
}

/** A batch's events; only the last answer says that the batch is through. */
function* answers(
  partition: number,
  before: number,
  after: number,
  events: readonly kernel.TransactionEvent[],
): Generator<WatchTransactionsResponse> {
  for (let from = 0; from < events.length; from += EVENTS) {
    const part: TransactionEvent[] = events.slice(from, from + EVENTS).map(toEvent);
    const sequence = from + EVENTS >= events.length ? after : before;
    yield { events: part, position: { partition, sequence } };
  }
}

function isDecision({ type }: kernel.TransactionEvent): boolean {
  return type === 'commit' || type === 'fail';
}

/** Runs of events of the same batch of decisions. */
function bySequence(events: readonly kernel.TransactionEvent[]): kernel.TransactionEvent[][] {
  const groups: kernel.TransactionEvent[][] = [];
  for (const event of events) {
    const group = groups.at(-1);
    if (group !== undefined && group[0]!.sequence === event.sequence) group.push(event);
    else groups.push([event]);
  }
  return groups;
}

function requirePosition(partition: number, position: number, compacted: number, last: number): void {
  const metadata = { partition: String(partition), oldest: String(compacted), newest: String(last) };
  if (position < compacted)
    throw new FailureError({
      reason: 'POSITION_COMPACTED',
      message:
        `decisions after position ${position} of partition ${partition} are no longer kept; ` +
        `the oldest position to continue after is ${compacted}`,
      metadata,
    });
  if (position > last)
    throw new FailureError({
      reason: 'INVALID_FIELD',
      message: `position ${position} of partition ${partition} is ahead of its newest, ${last}`,
      violations: [{ field: 'positions', description: `${position} is ahead of partition ${partition}'s newest position, ${last}` }],
      metadata,
    });
}
