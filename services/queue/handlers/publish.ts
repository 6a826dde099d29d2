/** Publish: one call, its messages shared out among the partitions. */

import { hash } from 'node:crypto';
import { type PublishRequest, type PublishResponse } from '../../gen/txmesh/queue/v1/queue.ts';
import { partitionOf } from '../../kernel/hash.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { NewMessage } from '../../kernel/queue/types.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { failureToStatus } from '../../runtime/errors/status.ts';
import { validate } from '../../runtime/participant/service.ts';
import { deadlinePassed } from '../../runtime/router/call.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { formatMessageId } from '../codec-ids.ts';
import { toNewMessage } from '../codec-messages.ts';
import { hasRoom, PublishLane, type Published, type PublishGroup } from './publish-lane.ts';
import { queueOf, requirePartition, type Budget, type QueueServices } from './service.ts';
import { publishRequest } from './validate.ts';

/** So many messages of a session in a row go to one partition, where they have no key. */
const BLOCK = 64;

/** Which partition a message goes to. The same one for a message of a session that is sent again. */
export class Spread {
  private readonly service: Service;
  private readonly session: string;
  private readonly start: number;
  private next = 0;

  constructor(service: Service, session: string) {
    this.service = service;
    this.session = session;
    this.start = session === '' ? Math.floor(Math.random() * service.partitions) : parseInt(hash('sha256', session).slice(0, 8), 16);
  }

  partitionOf({ orderingKey, deduplicationId }: NewMessage, sequence: number): number {
    const { partitions } = this.service;
    if (partitions === 1) return 0;
    const key = orderingKey || deduplicationId;
    if (key !== '') return partitionOf(key, partitions);
    const block = Math.floor((this.session === '' ? this.next++ : sequence) / BLOCK);
    return (this.start + block) % partitions;
  }
}

/** Most of a call without a deadline, milliseconds. */
const LONGEST_CALL_MS = 30_000;

export async function publish(
  services: QueueServices,
  budget: Budget,
  request: PublishRequest,
  context: CallContext,
): Promise<PublishResponse> {
  validate(publishRequest, request);
  const { topic, session, firstSequence, settledBelow, partition: chosen, sequenceOffsets } = request;
  const service = queueOf(services, request.participant);
  if (chosen !== undefined) requirePartition(service, chosen, 'partition');
  services.router.requireRoom();
  const nowMs = services.clock.nowMs();
  const messages = request.messages.map((message) => toNewMessage(message));
  const bytes = messages.reduce((sum, { encoded }) => sum + encoded.length, 0);
  if (!budget.take(bytes)) throw new FailureError(budget.refusal);
  try {
    const positions: string[] = messages.map(() => '');
    const failures = new Map<number, Failure>();
    const deadlineMs = Math.min(context.deadlineMs, nowMs + LONGEST_CALL_MS);
    const target = { service, topic, session, traceparent: context.traceparent, forwarded: context.forwarded, deadlineMs, signal: context.signal };
    const spread = new Spread(service, session);
    const groups = new Map<number, number[]>();
    messages.forEach((message, index) => {
      const partition = chosen ?? spread.partitionOf(message, firstSequence + (sequenceOffsets[index] ?? index));
      requireOwner(service, message, partition, index);
      const group = groups.get(partition);
      if (group === undefined) groups.set(partition, [index]);
      else group.push(index);
    });
    const parts = Array.from(groups, async ([partition, indexes]) => {
      const lane = new PublishLane(services, { ...target, partition });
      const waiting: Promise<void>[] = [];
      const send = (part: readonly number[]): void => {
        waiting.push(
          new Promise((resolve) => {
            const group: PublishGroup = {
              sequences: part.map((index) => firstSequence + (sequenceOffsets[index] ?? index)),
              messages: part.map((index) => messages[index]!),
              bytes: 0,
              done: (result) => {
                take(result, part, partition);
                resolve();
              },
            };
            lane.publish(group, settledBelow);
          }),
        );
      };
      const take = (result: Published | Failure, part: readonly number[], of: number): void => {
        part.forEach((index, i) => {
          const failure = 'reason' in result ? result : result.failures?.get(i);
          if (failure !== undefined) failures.set(index, failure);
          else if (!('reason' in result)) positions[index] = formatMessageId({ partition: of, incarnation: result.incarnation, position: result.positions[i]! });
        });
      };
      for (const part of partsOf(indexes, messages)) send(part);
      await Promise.all(waiting);
    });
    await within(Promise.all(parts), services, context, deadlineMs);
    if (failures.size > 0 && !context.forwarded) throw new FailureError(failures.values().next().value!);
    const refused = Array.from(failures, ([sequence, failure]) => ({ sequence, count: 1, status: failureToStatus(failure) }));
    return { messageIds: positions, refused };
  } finally {
    budget.give(bytes);
  }
}

/** Parts that a partition takes in one step. */
function partsOf(indexes: readonly number[], messages: readonly NewMessage[]): number[][] {
  const parts: number[][] = [];
  const group: PublishGroup = { sequences: [], messages: [], bytes: 0, done: () => undefined };
  for (const index of indexes) {
    const size = messages[index]!.encoded.length;
    if (parts.length === 0 || !hasRoom(group, size)) {
      parts.push([]);
      group.messages.length = 0;
      group.bytes = 0;
    }
    parts.at(-1)!.push(index);
    group.messages.push(messages[index]!);
    group.bytes += size;
  }
  return parts;
}

function requireOwner({ partitions, name }: Service, { orderingKey, deduplicationId }: NewMessage, partition: number, index: number): void {
  const key = orderingKey || deduplicationId;
  if (key === '' || partitions === 1) return;
  const owner = partitionOf(key, partitions);
  if (owner === partition) return;
  const description = `belongs to partition ${owner} of ${name} by its ${orderingKey === '' ? 'deduplication id' : 'ordering key'}, not to partition ${partition}`;
  throw new FailureError({ reason: 'WRONG_PARTITION', message: `messages[${index}] ${description}`, violations: [{ field: `messages[${index}]`, description }] });
}

/** Waits until the caller's deadline; what is under way then may still be published. */
async function within(all: Promise<unknown>, { clock }: QueueServices, { signal }: CallContext, deadlineMs: number): Promise<void> {
  let stop = (): void => undefined;
  const over = new Promise<never>((_, reject) => {
    const timer = clock.setTimer(deadlineMs - clock.nowMs(), () => reject(new FailureError(deadlinePassed(true))));
    const abort = (): void => reject(signal.reason instanceof Error ? signal.reason : new FailureError(deadlinePassed(true)));
    signal.addEventListener('abort', abort, { once: true });
    stop = () => {
      timer.cancel();
      signal.removeEventListener('abort', abort);
    };
  });
  try {
    await Promise.race([all, over]);
  } finally {
    stop();
  }
}
