/** ParticipantService without its stream, for participants of every kind: Prepare, Commit, Abort, ListPrepared, Resolve. */

import type { Attempt } from '../../../gen/txmesh/common/v1/common.ts';
import {
  type AbortRequest,
  type AbortResponse,
  type BranchId as WireBranch,
  type CommitRequest,
  type CommitResponse,
  HeuristicOutcome,
  type ListPreparedRequest,
  type ListPreparedResponse,
  ParticipantServiceService as methods,
  type PreparedBranch as WirePrepared,
  type PrepareRequest,
  type PrepareResponse,
  type ResolveRequest,
  type ResolveResponse,
  Vote,
} from '../../../gen/txmesh/participant/v1/participant.ts';
import type { BranchId, Heuristic, Mark, Prepare } from '../../../kernel/messages.ts';
import type { PreparedBranch } from '../../../kernel/participant/types.ts';
import { FailureError } from '../../errors/failure-error.ts';
import { failureToStatus } from '../../errors/status.ts';
import { decodePageToken, encodePageToken, pageToken } from '../../router/page-token.ts';
import { DEFAULT_PAGE_SIZE } from '../../router/rules.ts';
import type { Method } from '../../transport/channels.ts';
import type { CallContext, Handlers } from '../../transport/service.ts';
import { durationMs, timestampMs, toTimestamp } from '../../transport/time.ts';
import { idTimeMs } from '../../../kernel/transaction-id.ts';
import { requireKnownEpoch } from '../epochs.ts';
import type { KindOperations, Kinds } from '../operations.ts';
import { ask, coordinatorPartitions, serviceOfAnyKind, validate, type ParticipantServices, type ParticipantTerm } from '../service.ts';
import { abortRequest, commitRequest, listPreparedRequest, prepareRequest, resolveRequest } from './validate-branch.ts';

const VOTES = { yes: Vote.YES, no: Vote.NO, readOnly: Vote.READ_ONLY } as const;

/** What the handlers of participants of every kind work with. */
export interface BranchServices extends Pick<ParticipantServices, 'router' | 'view' | 'clock'> {
  readonly kinds: Kinds;
  /** A coordinator partition's mark came with a plain call. */
  hear(mark: Mark): void;
}

/** Without Exchange, which links serve. */
export function branchHandlers(services: BranchServices): Omit<Handlers<typeof methods>, 'exchange'> {
  const branches = new BranchHandlers(services);
  return {
    prepare: (request, context) => branches.prepare(request, context),
    commit: (request, context) => branches.commit(request, context),
    abort: (request, context) => branches.abort(request, context),
    listPrepared: (request, context) => branches.listPrepared(request, context),
    resolve: (request, context) => branches.resolve(request, context),
  };
}

class BranchHandlers {
  private readonly services: BranchServices;

  constructor(services: BranchServices) {
    this.services = services;
  }

  async prepare(request: PrepareRequest, context: CallContext): Promise<PrepareResponse> {
    validate(prepareRequest, request);
    const { branch, kind } = this.addressed(request.branch!);
    await requireKnownEpoch(this.services, branch.coordinatorPartition, branch.attempt, request.lowWaterMark);
    return this.route(methods.prepare, request, branch, context, async (term) => {
      this.hear(branch, request.lowWaterMark);
      const operations = kind.decodeOperations(request.operations);
      if ('reason' in operations) return { vote: Vote.NO, cause: failureToStatus(operations) };
      const nowMs = this.services.clock.nowMs();
      const message: Prepare<unknown> = {
        type: 'prepare',
        branch,
        operations,
        firstTryMs: request.firstTryTime === undefined ? idTimeMs(branch.transactionId) : timestampMs(request.firstTryTime),
        deadlineMs: nowMs + (request.remaining === undefined ? 0 : durationMs(request.remaining)),
        readOnly: request.readOnly,
        ...(request.workspaceAttempt !== undefined && {
          workspace: { attempt: request.workspaceAttempt, epoch: request.enlistedEpoch },
        }),
        trace: request.traceparent === '' ? context.traceparent : request.traceparent,
      };
      const { vote, cause } = await ask(this.services, term, 'vote', context, true, (origin) => ({ type: 'message', message, origin }));
      return { vote: VOTES[vote], cause: cause === undefined ? undefined : failureToStatus(cause) };
    });
  }

  commit(request: CommitRequest, context: CallContext): Promise<CommitResponse> {
    return this.tell('commit', methods.commit, request, context);
  }

  abort(request: AbortRequest, context: CallContext): Promise<AbortResponse> {
    return this.tell('abort', methods.abort, request, context);
  }

  async listPrepared(request: ListPreparedRequest, context: CallContext): Promise<ListPreparedResponse> {
    const { participant } = request;
    const question = `prepared ${participant}`;
    validate(listPreparedRequest(pageToken(question)), request);
    const { partitions } = serviceOfAnyKind(this.services, participant).service;
    const size = request.pageSize || DEFAULT_PAGE_SIZE;
    let position = decodePageToken(question, request.pageToken) ?? { partition: 0, after: '' };
    const branches: WirePrepared[] = [];
    while (position.partition < partitions && branches.length < size) {
      const { partition, after } = position;
      const part = { participant, pageSize: size - branches.length, pageToken: encodePageToken(question, position) };
      const route = { service: participant, partition, method: methods.listPrepared, request: part, context, changes: false };
      const page = await this.services.router.unary(route, async (term) => {
        const reply = await ask(this.services, term, 'prepared', context, false, (origin) => ({
          type: 'listPrepared',
          origin,
          limit: part.pageSize,
          ...(after !== '' && { after }),
        }));
        const nextPageToken = reply.next === undefined ? '' : encodePageToken(question, { partition, after: reply.next });
        return { branches: reply.branches.map((prepared) => this.toWire(prepared)), nextPageToken };
      });
      branches.push(...page.branches);
      // A forwarded question is about the one partition that its token names.
      if (page.nextPageToken !== '' || context.forwarded) return { branches, nextPageToken: page.nextPageToken };
      position = { partition: partition + 1, after: '' };
    }
    return { branches, nextPageToken: position.partition < partitions ? encodePageToken(question, position) : '' };
  }

  async resolve(request: ResolveRequest, context: CallContext): Promise<ResolveResponse> {
    validate(resolveRequest, request);
    const { branch } = this.addressed(request.branch!);
    const { transactionId } = branch;
    const attempt = request.branch!.attempt;
    const outcome: Heuristic = request.outcome === HeuristicOutcome.COMMIT ? 'commit' : 'abort';
    return this.route(methods.resolve, request, branch, context, async (term) => {
      const command = { type: 'resolve', transactionId, outcome, ...(attempt !== undefined && { attempt }) } as const;
      const reply = await ask(this.services, term, 'resolved', context, true, (origin) => ({ ...command, origin }));
      return { outcome: toOutcome(reply.outcome) };
    });
  }

  private async tell(
    type: 'commit' | 'abort',
    method: Method<CommitRequest & AbortRequest, CommitResponse & AbortResponse>,
    request: CommitRequest & AbortRequest,
    context: CallContext,
  ): Promise<CommitResponse & AbortResponse> {
    validate(type === 'commit' ? commitRequest : abortRequest, request);
    const { branch } = this.addressed(request.branch!);
    await requireKnownEpoch(this.services, branch.coordinatorPartition, branch.attempt, request.lowWaterMark);
    return this.route(method, request, branch, context, async (term) => {
      this.hear(branch, request.lowWaterMark);
      const trace = request.traceparent === '' ? context.traceparent : request.traceparent;
      const message = { type, branch, trace } as const;
      const reply = await ask(this.services, term, 'acknowledged', context, true, (origin) => ({ type: 'message', message, origin }), 'control');
      return { heuristic: toOutcome(reply.heuristic) };
    });
  }

  /** Checks that the branch is of this cluster and of a partition that there is. */
  private addressed(wire: WireBranch): { readonly branch: BranchId; readonly kind: KindOperations } {
    const { transactionId, coordinatorPartition, participant, partition } = wire;
    const { clusterId } = this.services.view;
    if (wire.clusterId !== clusterId)
      throw new FailureError({
        reason: 'FOREIGN_CLUSTER',
        message: `the branch is of cluster "${wire.clusterId.slice(0, 64)}", this is ${clusterId}: connect to replicas of the same cluster`,
      });
    const { service, kind } = serviceOfAnyKind(this.services, participant);
    const mismatch =
      partition >= service.partitions
        ? `${participant} has ${service.partitions} partitions, there is no partition ${partition}`
        : coordinatorPartition >= coordinatorPartitions(this.services)
          ? `there is no coordinator partition ${coordinatorPartition}`
          : undefined;
    if (mismatch !== undefined)
      throw new FailureError({ reason: 'PARTITION_MISMATCH', message: `${mismatch}: the sender's partition map is not this cluster's` });
    // Resolve may leave the attempt out, and does not use it.
    const attempt = wire.attempt ?? { epoch: 0, counter: 0 };
    return { branch: { transactionId, attempt, coordinatorPartition, participant, partition }, kind };
  }

  private hear({ coordinatorPartition }: BranchId, lowWaterMark: Attempt | undefined): void {
    if (lowWaterMark !== undefined) this.services.hear({ coordinatorPartition, lowWaterMark });
  }

  private route<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    { participant, partition }: BranchId,
    context: CallContext,
    serve: (term: ParticipantTerm) => Promise<Response>,
  ): Promise<Response> {
    return this.services.router.unary({ service: participant, partition, method, request, context, changes: true }, serve);
  }

  private toWire({ branch, prepareMs, inquiries, nextInquiryMs }: PreparedBranch): WirePrepared {
    return {
      branch: { clusterId: this.services.view.clusterId, ...branch },
      prepareTime: toTimestamp(prepareMs),
      inquiries,
      nextInquiryTime: Number.isFinite(nextInquiryMs) ? toTimestamp(nextInquiryMs) : undefined,
    };
  }
}

function toOutcome(heuristic: Heuristic | undefined): HeuristicOutcome {
  if (heuristic === undefined) return HeuristicOutcome.UNSPECIFIED;
  return heuristic === 'commit' ? HeuristicOutcome.COMMIT : HeuristicOutcome.ABORT;
}
