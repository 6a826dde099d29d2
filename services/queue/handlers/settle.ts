/** Acknowledgements and deadlines, shared out among the partitions that their ids name. */

import { QueueServiceService as methods } from '../../gen/txmesh/queue/v1/queue.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { DeliveryTag, QueueRequest } from '../../kernel/queue/types.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { statusToFailure } from '../../runtime/errors/status.ts';
import type { Requester } from '../../runtime/partition/term.ts';
import { noLeader } from '../../runtime/router/place.ts';
import { toDuration } from '../../runtime/transport/time.ts';
import { parseAckId } from '../codec-ids.ts';
import { routesOf, type QueueReply, type QueueServices, type QueueTerm } from './service.ts';

export interface SettleFailed {
  readonly ackId: string;
  readonly failure: Failure;
}

/** Of one partition. */
export interface SettleGroup {
  readonly partition: number;
  readonly ackIds: string[];
  readonly tags: DeliveryTag[];
  /** One for each, milliseconds; undefined: they are acknowledged. */
  readonly deadlinesMs: number[] | undefined;
}

export interface Settling {
  readonly service: Service;
  readonly subscription: string;
  readonly forwarded: boolean;
  /** Wall time until which somebody waits for it. */
  readonly deadlineMs: number;
}

export function notAnAckId(ackId: string): SettleFailed {
  const description = 'must be the ack_id of a message delivered by this queue';
  const message = `"${ackId.slice(0, 80)}" is no ack id: ${description}`;
  return { ackId, failure: { reason: 'INVALID_FIELD', message, violations: [{ field: 'ack_ids', description }] } };
}

/** Ids by partition; what is no id of the queue is among the failures. */
export function groupAckIds(
  service: Service,
  ackIds: readonly string[],
  deadlineOf: ((index: number) => number) | undefined,
  failed: SettleFailed[],
): Map<number, SettleGroup> {
  const routes = routesOf(service);
  const groups = new Map<number, SettleGroup>();
  for (let i = 0; i < ackIds.length; i++) {
    const ackId = ackIds[i]!;
    const parsed = parseAckId(ackId);
    const partition = parsed && routes.partitionOf(parsed.route);
    if (parsed === undefined || partition === undefined) {
      failed.push(notAnAckId(ackId));
      continue;
    }
    let group = groups.get(partition);
    if (group === undefined) groups.set(partition, (group = { partition, ackIds: [], tags: [], deadlinesMs: deadlineOf && [] }));
    group.ackIds.push(ackId);
    group.tags.push(parsed.tag);
    if (deadlineOf !== undefined) group.deadlinesMs!.push(deadlineOf(i));
  }
  return groups;
}

/** Carries out what is of one partition. @param done called once, with what was not carried out */
export function settle(services: QueueServices, settling: Settling, group: SettleGroup, done: (failed: readonly SettleFailed[]) => void): void {
  const { service, forwarded } = settling;
  const place = services.router.places.now(service.name, group.partition);
  if (place.type === 'local') return submit(place.term, settling, group, done);
  if (forwarded) return done(allFailed(group, noLeader(service.name, group.partition)));
  void settleElsewhere(services, settling, group).then(done);
}

function submit(term: QueueTerm, { subscription }: Settling, group: SettleGroup, done: (failed: readonly SettleFailed[]) => void): void {
  const { tags, deadlinesMs, ackIds } = group;
  const origin: Requester<QueueReply> = {
    onReply(reply) {
      if (reply.type === 'failure') done(allFailed(group, reply.failure));
      else if (reply.type === 'response' && reply.response.type === 'settled')
        done(reply.response.failures.map(({ index, failure }) => ({ ackId: ackIds[index]!, failure })));
    },
    onFailure: (failure) => done(allFailed(group, failure)),
  };
  const request: QueueRequest =
    deadlinesMs === undefined ? { type: 'acknowledge', subscription, tags } : { type: 'modifyDeadline', subscription, tags, deadlinesMs };
  term.submit({ type: 'request', origin, request }, 'work');
}

async function settleElsewhere(services: QueueServices, settling: Settling, group: SettleGroup): Promise<readonly SettleFailed[]> {
  const { service, subscription, deadlineMs: untilMs } = settling;
  const { router } = services;
  const { ackIds, deadlinesMs, partition } = group;
  const place = await router.places.find(service.name, partition, { forwarded: false, deadlineMs: untilMs });
  if (place.type === 'local') return new Promise((resolve) => submit(place.term, settling, group, resolve));
  if (place.type === 'nobody') return allFailed(group, noLeader(service.name, partition));
  const named = { participant: service.name, subscription };
  const { address } = place.leader;
  const calls: Promise<{ failures: { ackId: string; status: Parameters<typeof statusToFailure>[0] | undefined }[] }>[] = [];
  const options = { deadlineMs: untilMs, forwarded: true };
  if (deadlinesMs === undefined) calls.push(router.channels.unary(address, methods.acknowledge, { ...named, ackIds }, options));
  else {
    const byDeadline = Map.groupBy(ackIds, (_, i) => deadlinesMs[i]!);
    for (const [ms, ids] of byDeadline) {
      const request = { ...named, ackIds: ids, ackDeadline: toDuration(ms) };
      calls.push(router.channels.unary(address, methods.modifyAckDeadline, request, options));
    }
  }
  try {
    const answers = await Promise.all(calls);
    return answers.flatMap(({ failures }) => failures.map(({ ackId, status }) => ({ ackId, failure: statusToFailure(status!) })));
  } catch (error) {
    if (error instanceof FailureError) return allFailed(group, error.failure);
    throw error;
  }
}

function allFailed({ ackIds }: SettleGroup, failure: Failure): readonly SettleFailed[] {
  return ackIds.map((ackId) => ({ ackId, failure }));
}
