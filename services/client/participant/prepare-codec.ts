/** Prepare between the wire and the branch keeper, for the plain call and the stream. */

import { Vote as WireVote, type PrepareRequest, type PrepareResponse } from '../../gen/txmesh/participant/v1/participant.ts';
import { failureToStatus } from '../../runtime/errors/status.ts';
import { durationMs, timestampMs } from '../../runtime/transport/time.ts';
import { refusalOf } from './branch-codec.ts';
import type { Answer, BranchKeeper } from './branch-keeper.ts';
import type { Branch } from './resource-manager.ts';
import { inServerSpan } from './server-span.ts';

/** The longest that a vote is waited for, milliseconds. */
const LONGEST_PREPARE_MS = 10 * 60_000;

/** Asks for a vote, for as long as the coordinator waits for it. */
export async function prepare(keeper: BranchKeeper, branch: Branch, request: PrepareRequest, signal: AbortSignal): Promise<Answer> {
  const refusal = refusalOf(request);
  if (refusal !== undefined) return { vote: 'no', cause: refusal };
  const { operations, remaining, readOnly, firstTryTime, traceparent } = request;
  const waitMs = remaining === undefined ? LONGEST_PREPARE_MS : Math.min(LONGEST_PREPARE_MS, Math.max(0, durationMs(remaining)));
  const context = {
    signal: AbortSignal.any([signal, AbortSignal.timeout(waitMs)]),
    readOnly,
    firstTryTime: new Date(firstTryTime === undefined ? 0 : timestampMs(firstTryTime)),
  };
  return inServerSpan(`prepare ${branch.participant}`, traceparent, () => keeper.prepare(branch, operations, context));
}

export function toResponse(answer: Answer): PrepareResponse {
  switch (answer.vote) {
    case 'yes':
      return { vote: WireVote.YES, cause: undefined };
    case 'readOnly':
      return { vote: WireVote.READ_ONLY, cause: undefined };
    case 'no':
      return { vote: WireVote.NO, cause: failureToStatus(answer.cause) };
  }
}
