/** What the handlers of QueueService share. */

import type { Failure } from '../../kernel/failure.ts';
import type { QueueAnswer, QueueQuery, QueueRequest, QueueResponse, QueueTypes } from '../../kernel/queue/types.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { ask, serviceOfKind, waitUntilMs, type ParticipantServices, type ParticipantTerm } from '../../runtime/participant/service.ts';
import type { ParticipantReply } from '../../kernel/participant/types.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { Routes } from '../codec-ids.ts';

export type QueueTerm = ParticipantTerm<QueueTypes, never>;
export type QueueServices = ParticipantServices<QueueTypes, never>;
export type QueueReply = ParticipantReply<QueueTypes>;

/** For requests that name no participant. */
export const DEFAULT_QUEUE = 'queue';

/** The queue that a request is about. @throws FailureError */
export function queueOf(services: QueueServices, participant: string): Service {
  return serviceOfKind(services, participant === '' ? DEFAULT_QUEUE : participant);
}

const known = new Map<number, Routes>();

/** The routes of a queue's partitions. */
export function routesOf({ partitions }: Service): Routes {
  let routes = known.get(partitions);
  if (routes === undefined) known.set(partitions, (routes = new Routes(partitions)));
  return routes;
}

/** A partition that a request names. @throws FailureError */
export function requirePartition({ name, partitions }: Service, partition: number, field: string): number {
  if (partition < partitions) return partition;
  const description = `names partition ${partition}; ${name} has ${partitions}, from 0 on`;
  throw new FailureError({ reason: 'INVALID_FIELD', message: `${field} ${description}`, violations: [{ field, description }] });
}

/** Reads at a term in this process, after what is being changed. @throws FailureError */
export async function read(services: QueueServices, term: QueueTerm, query: QueueQuery, context: CallContext): Promise<QueueAnswer> {
  const { answer } = await ask(services, term, 'read', context, false, (origin) => ({
    type: 'read',
    origin,
    query,
    consistency: 'linearizable',
    deadlineMs: waitUntilMs(services, context),
  }));
  return answer;
}

/** One request of the queue's own at a term in this process. @throws FailureError */
export async function request<Type extends QueueResponse['type']>(
  services: QueueServices,
  term: QueueTerm,
  type: Type,
  asked: QueueRequest,
  context: CallContext,
): Promise<Extract<QueueResponse, { readonly type: Type }>> {
  const { response } = await ask(services, term, 'response', context, true, (origin) => ({ type: 'request', origin, request: asked }));
  if (response.type !== type) throw new Error(`a queue answered ${response.type} instead of ${type}`);
  return response as Extract<QueueResponse, { readonly type: Type }>;
}

/** A bound on the bytes that clients have sent and nobody has answered, over all calls of a process (invariant P8). */
export class Budget {
  private readonly limit: number;
  private used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** False: there is no room. */
  take(bytes: number): boolean {
    if (this.used > 0 && this.used + bytes > this.limit) return false;
    this.used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.used -= bytes;
  }

  get refusal(): Failure {
    return {
      reason: 'OVERLOADED',
      message: `${this.used} bytes of messages wait to be published at this replica, the limit; try again later`,
      retryAfterMs: 200,
    };
  }
}

/** Bytes of messages that may wait to be published. */
export const PUBLISH_BUDGET_BYTES = 256 * 1024 * 1024;
