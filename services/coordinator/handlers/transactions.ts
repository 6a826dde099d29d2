/** The unary calls about one transaction. */

import {
  type AbortTransactionRequest,
  type AbortTransactionResponse,
  type BeginTransactionRequest,
  type BeginTransactionResponse,
  type CommitTransactionRequest,
  type CommitTransactionResponse,
  CoordinatorServiceService as methods,
  type EnlistRequest,
  type EnlistResponse,
  type ExecuteRequest,
  type ExecuteResponse,
  type GetTransactionRequest,
  type GetTransactionResponse,
  type InquireRequest,
  type InquireResponse,
  type RetryTransactionRequest,
  type RetryTransactionResponse,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { partitionOf } from '../../kernel/hash.ts';
import { COORDINATOR } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { deadlinePassed } from '../../runtime/router/call.ts';
import type { Method } from '../../runtime/transport/channels.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { Planner, decisionDeadlineMs, firstTryMs } from './plan.ts';
import {
  ask,
  coordinatorPartitions,
  partitionMismatch,
  partitionOfId,
  requireParticipant,
  validate,
  type CoordinatorServices,
  type CoordinatorTerm,
} from './service.ts';
import * as rules from './validate.ts';
import { INQUIRY_OUTCOMES, toTransaction } from './wire.ts';

export class TransactionHandlers {
  private readonly services: CoordinatorServices;
  private readonly planner: Planner;

  constructor(services: CoordinatorServices) {
    this.services = services;
    this.planner = new Planner(services);
  }

  async execute(received: ExecuteRequest, context: CallContext): Promise<ExecuteResponse> {
    validate(rules.executeRequest, received);
    this.services.router.requireRoom();
    const request = this.identified(received);
    const { clock } = this.services;
    return this.route(methods.execute, request, context, true, async (term) => {
      const nowMs = clock.nowMs();
      if (context.deadlineMs <= nowMs) throw new FailureError(deadlinePassed(false));
      const plan = this.planner.execute(request, request.transactionId, undefined, context.deadlineMs, nowMs, context.traceparent);
      if ('reason' in plan) throw new FailureError(plan);
      const reply = await ask(this.services, term, 'transaction', context, true, (origin) => ({ ...plan, origin }));
      return { transaction: toTransaction(reply.transaction) };
    });
  }

  async begin(received: BeginTransactionRequest, context: CallContext): Promise<BeginTransactionResponse> {
    validate(rules.beginRequest, received);
    this.services.router.requireRoom();
    const request = this.identified(received);
    const { clock } = this.services;
    return this.route(methods.beginTransaction, request, context, true, async (term) => {
      const { transactionId, attempt } = await ask(this.services, term, 'begun', context, true, (origin) => ({
        type: 'begin',
        origin,
        transactionId: request.transactionId,
        mode: 'two-phase-commit',
        firstTryMs: firstTryMs(request.firstTryTime, request.transactionId),
        // The transaction outlives the call that begins it.
        deadlineMs: decisionDeadlineMs(request.timeout, Infinity, clock.nowMs()),
        trace: context.traceparent,
      }));
      return { transactionId, attempt };
    });
  }

  async enlist(request: EnlistRequest, context: CallContext): Promise<EnlistResponse> {
    validate(rules.enlistRequest, request);
    const { transactionId, participant, partition, epoch } = request;
    requireParticipant(this.services, participant, partition);
    const coordinatorPartition = partitionOfId(this.services, transactionId);
    return this.route(methods.enlist, request, context, true, async (term) => {
      const branch = { transactionId, attempt: request.attempt!, coordinatorPartition, participant, partition };
      await ask(this.services, term, 'enlisted', context, true, (origin) => ({ type: 'enlist', origin, branch, epoch }));
      return {};
    });
  }

  async commit(request: CommitTransactionRequest, context: CallContext): Promise<CommitTransactionResponse> {
    validate(rules.commitRequest, request);
    return this.route(methods.commitTransaction, request, context, true, async (term) => {
      const reply = await ask(this.services, term, 'transaction', context, true, (origin) => ({
        type: 'commit',
        origin,
        transactionId: request.transactionId,
        attempt: request.attempt!,
        trace: context.traceparent,
      }));
      return { transaction: toTransaction(reply.transaction) };
    });
  }

  abort(request: AbortTransactionRequest, context: CallContext): Promise<AbortTransactionResponse> {
    return this.about('abort', methods.abortTransaction, rules.abortRequest, request, context);
  }

  get(request: GetTransactionRequest, context: CallContext): Promise<GetTransactionResponse> {
    return this.about('get', methods.getTransaction, rules.getRequest, request, context);
  }

  retry(request: RetryTransactionRequest, context: CallContext): Promise<RetryTransactionResponse> {
    return this.about('retry', methods.retryTransaction, rules.retryRequest, request, context);
  }

  async inquire(request: InquireRequest, context: CallContext): Promise<InquireResponse> {
    validate(rules.inquireRequest, request);
    const { transactionId, participant, partition, coordinatorPartition } = request;
    if (coordinatorPartition !== partitionOfId(this.services, transactionId))
      throw new FailureError(partitionMismatch(`transaction ${transactionId} does not belong to coordinator partition ${coordinatorPartition}`));
    return this.route(methods.inquire, request, context, false, async (term) => {
      const branch = { transactionId, attempt: request.attempt!, coordinatorPartition, participant, partition };
      const reply = await ask(this.services, term, 'inquiry', context, false, (origin) => ({ type: 'inquire', origin, branch }), 'control');
      return { outcome: INQUIRY_OUTCOMES[reply.outcome] };
    });
  }

  /** With the id that the request came with, or a new one. */
  private identified<Request extends { readonly transactionId: string }>(request: Request): Request {
    return request.transactionId === '' ? { ...request, transactionId: this.services.newId() } : request;
  }

  private route<Request extends { readonly transactionId: string }, Response>(
    method: Method<Request, Response>,
    request: Request,
    context: CallContext,
    changes: boolean,
    serve: (term: CoordinatorTerm) => Promise<Response>,
  ): Promise<Response> {
    const partition = partitionOf(request.transactionId, coordinatorPartitions(this.services));
    return this.services.router.unary({ service: COORDINATOR, partition, method, request, context, changes }, serve);
  }

  /** A request that consists of an id, answered with the transaction and its branches. */
  private async about<Request extends { readonly transactionId: string }>(
    type: 'abort' | 'get' | 'retry',
    method: Method<Request, GetTransactionResponse>,
    rule: Parameters<typeof validate<Request>>[0],
    request: Request,
    context: CallContext,
  ): Promise<GetTransactionResponse> {
    validate(rule, request);
    const { transactionId } = request;
    const changes = type === 'abort';
    return this.route(method, request, context, changes, async (term) => {
      const command = (origin: unknown) => ({ type, origin, transactionId }) as const;
      const reply = await ask(this.services, term, 'transaction', context, changes, command);
      return { transaction: toTransaction(reply.transaction) };
    });
  }
}
