/** ResolveTransaction: an operator's forced outcome, carried out by the leader of the participant's partition. */

import { Heuristic, type ResolveTransactionRequest, type ResolveTransactionResponse } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { HeuristicOutcome, ParticipantServiceService } from '../../gen/txmesh/participant/v1/participant.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { noLeader } from '../../runtime/router/place.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { partitionOfId, requireParticipant, validate, type CoordinatorServices } from './service.ts';
import { resolveRequest } from './validate.ts';

/** Of the two enums, which say the same in the terms of each service. */
const OUTCOMES = [
  [Heuristic.COMMIT, HeuristicOutcome.COMMIT],
  [Heuristic.ABORT, HeuristicOutcome.ABORT],
] as const;

export async function resolveTransaction(
  services: CoordinatorServices,
  request: ResolveTransactionRequest,
  context: CallContext,
): Promise<ResolveTransactionResponse> {
  validate(resolveRequest, request);
  const { transactionId, participant, partition } = request;
  requireParticipant(services, participant, partition);
  const { view, router } = services;
  const address = view.externals.get(participant)?.address ?? view.leader(participant, partition)?.address;
  if (address === undefined) throw new FailureError(noLeader(participant, partition));
  const branch = {
    clusterId: view.clusterId,
    transactionId,
    // Whichever is prepared: an operator has no attempt at hand.
    attempt: undefined,
    coordinatorPartition: partitionOfId(services, transactionId),
    participant,
    partition,
  };
  const asked = OUTCOMES.find(([outcome]) => outcome === request.outcome)!;
  const { outcome } = await router.channels.unary(
    address,
    ParticipantServiceService.resolve,
    { branch, outcome: asked[1] },
    { deadlineMs: context.deadlineMs, signal: context.signal, traceparent: context.traceparent, forwarded: true },
  );
  return { outcome: OUTCOMES.find(([, found]) => found === outcome)?.[0] ?? Heuristic.UNSPECIFIED };
}
