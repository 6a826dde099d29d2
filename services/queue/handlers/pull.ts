/** Pull, Acknowledge and ModifyAckDeadline. */

import type {
  AcknowledgeRequest,
  AcknowledgeResponse,
  ModifyAckDeadlineRequest,
  ModifyAckDeadlineResponse,
  PullRequest,
} from '../../gen/txmesh/queue/v1/queue.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { failureToStatus } from '../../runtime/errors/status.ts';
import { validate } from '../../runtime/participant/service.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { durationMs } from '../../runtime/transport/time.ts';
import { peekReceived, type Delivered } from '../codec-frames.ts';
import { giveBack, PullCall, type Demand, type Pulled } from './pull-call.ts';
import { queueOf, requirePartition, type QueueServices } from './service.ts';
import { groupAckIds, settle, type SettleFailed, type SettleGroup } from './settle.ts';
import { acknowledgeRequest, CALL_LIMITS, modifyAckDeadlineRequest, pullRequest } from './validate.ts';

/** What Pull answers, before it is encoded. */
export interface PullAnswer {
  readonly delivered: Delivered[];
  readonly forwarded: Uint8Array[];
}

let turn = 0;

export async function pull(services: QueueServices, request: PullRequest, context: CallContext): Promise<PullAnswer> {
  validate(pullRequest, request);
  const service = queueOf(services, request.participant);
  const { subscription, maxMessages, maxBytes, wait, ackDeadline, partition } = request;
  const all = partition === undefined ? everyPartition(service) : [requirePartition(service, partition, 'partition')];
  const longestMs = Math.max(0, context.deadlineMs - services.clock.nowMs() - ANSWER_MS);
  const waitMs = wait === undefined ? 0 : Math.min(durationMs(wait), longestMs);
  const demand: Demand = {
    subscription,
    maxMessages: maxMessages || 1,
    maxBytes: maxBytes || CALL_LIMITS.pullBytes,
    ackDeadlineMs: ackDeadline === undefined ? 0 : durationMs(ackDeadline),
    waitMs: 0,
  };
  const answer: PullAnswer = { delivered: [], forwarded: [] };
  const rest = { messages: demand.maxMessages, bytes: demand.maxBytes };
  let failure: Failure | undefined;
  const keep = (pulled: Pulled): void => {
    if (pulled.type === 'failed') failure = pulled.failure;
    else take(pulled, answer, rest);
  };
  if (all.length > 1 || waitMs === 0) {
    for (const each of all) {
      if (rest.messages <= 0 || rest.bytes <= 0 || context.signal.aborted) break;
      keep(await pullOne(services, service, each, { ...demand, maxMessages: rest.messages, maxBytes: rest.bytes }, context));
    }
  }
  const nothing = (): boolean => rest.messages === demand.maxMessages;
  if (waitMs > 0 && nothing()) {
    failure = undefined;
    keep(await pullFirst(services, service, all, { ...demand, waitMs }, context));
  }
  if (context.signal.aborted) {
    giveAllBack(services, service, subscription, answer);
    throw new FailureError(CANCELLED);
  }
  // What other partitions have given is out for this call: a failure of one must not lose it.
  if (failure !== undefined && nothing()) throw new FailureError(failure);
  return answer;
}

/** What nobody is there to take. What is not given back is delivered again after its deadline. */
function giveAllBack(services: QueueServices, service: Service, subscription: string, { delivered, forwarded }: PullAnswer): void {
  for (const each of delivered) {
    const place = services.router.places.now(service.name, each.partition);
    // A new leader knows nothing of what the one before it has delivered (invariant Q5).
    if (place.type === 'local') giveBack(place.term, subscription, each);
  }
  const groups = groupAckIds(service, forwarded.map((message) => peekReceived(message).ackId), () => 0, []);
  const settling = { service, subscription, forwarded: false, deadlineMs: services.clock.nowMs() + GIVE_BACK_MS };
  for (const group of groups.values()) settle(services, settling, group, () => undefined);
}

/** For what goes back to another replica. */
const GIVE_BACK_MS = 5000;

/** Time for an answer on its way back. */
const ANSWER_MS = 50;

/** Each pull begins with another one. */
function everyPartition({ partitions }: Service): number[] {
  const first = turn++ % partitions;
  return Array.from({ length: partitions }, (_, i) => (first + i) % partitions);
}

function take(pulled: Exclude<Pulled, { readonly type: 'failed' }>, answer: PullAnswer, rest: { messages: number; bytes: number }): void {
  switch (pulled.type) {
    case 'forwarded':
      for (const message of pulled.messages) {
        answer.forwarded.push(message);
        rest.messages--;
        rest.bytes -= message.length;
      }
      return;
    case 'delivered':
      if (pulled.delivered.messages.length === 0) return;
      answer.delivered.push(pulled.delivered);
      for (const { encoded } of pulled.delivered.messages) {
        rest.messages--;
        rest.bytes -= encoded.length;
      }
  }
}

function pullOne(services: QueueServices, service: Service, partition: number, demand: Demand, context: CallContext): Promise<Pulled> {
  return pullFirst(services, service, [partition], demand, context);
}

/** Waits at all of these for the first one that gives something; the others give back what comes late. */
function pullFirst(services: QueueServices, service: Service, partitions: readonly number[], demand: Demand, context: CallContext): Promise<Pulled> {
  // A signal that has been given calls nobody.
  if (context.signal.aborted) return Promise.resolve({ type: 'failed', failure: CANCELLED });
  return new Promise((resolve) => {
    const calls: PullCall[] = [];
    let open = partitions.length;
    let failed: Pulled | undefined;
    const settleWith = (pulled: Pulled): void => {
      context.signal.removeEventListener('abort', abandon);
      for (const call of calls) call.cancel();
      resolve(pulled);
    };
    const abandon = (): void => settleWith({ type: 'failed', failure: CANCELLED });
    for (const partition of partitions) {
      calls.push(
        new PullCall(services, service, partition, demand, (pulled) => {
          open--;
          if (pulled.type === 'failed') failed = pulled;
          else if (!isEmpty(pulled) || open === 0) return settleWith(pulled);
          if (open === 0) settleWith(failed!);
        }),
      );
    }
    context.signal.addEventListener('abort', abandon);
    for (const call of [...calls]) call.start(context.forwarded);
  });
}

const CANCELLED: Failure = { reason: 'CANCELLED', message: 'the caller is gone' };

function isEmpty(pulled: Pulled): boolean {
  if (pulled.type === 'failed') return true;
  return pulled.type === 'forwarded' ? pulled.messages.length === 0 : pulled.delivered.messages.length === 0;
}

export async function acknowledge(services: QueueServices, request: AcknowledgeRequest, context: CallContext): Promise<AcknowledgeResponse> {
  validate(acknowledgeRequest, request);
  return settleAll(services, request, undefined, context);
}

export async function modifyAckDeadline(
  services: QueueServices,
  request: ModifyAckDeadlineRequest,
  context: CallContext,
): Promise<ModifyAckDeadlineResponse> {
  validate(modifyAckDeadlineRequest, request);
  const deadlineMs = request.ackDeadline === undefined ? 0 : durationMs(request.ackDeadline);
  return settleAll(services, request, () => deadlineMs, context);
}

async function settleAll(
  services: QueueServices,
  { participant, subscription, ackIds }: { participant: string; subscription: string; ackIds: string[] },
  deadlineOf: (() => number) | undefined,
  context: CallContext,
): Promise<AcknowledgeResponse> {
  const service = queueOf(services, participant);
  const failed: SettleFailed[] = [];
  const groups = groupAckIds(service, ackIds, deadlineOf, failed);
  const settling = { service, subscription, forwarded: context.forwarded, deadlineMs: context.deadlineMs };
  const one = (group: SettleGroup): Promise<readonly SettleFailed[]> => new Promise((resolve) => settle(services, settling, group, resolve));
  failed.push(...(await Promise.all(Array.from(groups.values(), one))).flat());
  // What is wrong with all of it is wrong with the call.
  const [first] = failed;
  if (first !== undefined && failed.length === ackIds.length && WHOLE.has(first.failure.reason)) throw new FailureError(first.failure);
  return { failures: failed.map(({ ackId, failure }) => ({ ackId, status: failureToStatus(failure) })) };
}

/** Reasons that are about the subscription or the partition, not about one message. */
const WHOLE: ReadonlySet<string> = new Set([
  'SUBSCRIPTION_NOT_FOUND',
  'SUBSCRIPTION_DETACHED',
  'NO_LEADER',
  'OVERLOADED',
  'OUTCOME_UNKNOWN',
  'DRAINING',
  'DEADLINE_EXCEEDED',
]);
