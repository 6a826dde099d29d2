/** ParticipantService for a resource manager: the plain calls. */

import { HeuristicOutcome, type ParticipantServiceService, type PrepareRequest } from '../../gen/txmesh/participant/v1/participant.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { decodePageToken, encodePageToken } from '../../runtime/router/page-token.ts';
import type { Handlers } from '../../runtime/transport/service.ts';
import { toTimestamp } from '../../runtime/transport/time.ts';
import { branchFrom, demandCluster, invalid, markFrom, toWire, type Identity } from './branch-codec.ts';
import type { BranchKeeper } from './branch-keeper.ts';
import { exchangeHandler } from './exchange-handler.ts';
import { prepare, toResponse } from './prepare-codec.ts';
import { inServerSpan } from './server-span.ts';
import type { Branch } from './resource-manager.ts';

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1_000;

/** @param identity throws FailureError while the participant is not registered */
export function participantHandlers(keeper: BranchKeeper, identity: () => Identity): Handlers<typeof ParticipantServiceService> {
  const branchOf = (wire: PrepareRequest['branch'], lowWaterMark: PrepareRequest['lowWaterMark']): Branch => {
    const known = identity();
    demandCluster(known, wire?.clusterId ?? '');
    const branch = branchFrom(known, wire);
    const mark = markFrom(branch.coordinatorPartition, lowWaterMark);
    if (mark !== undefined) keeper.takeMark(mark);
    return branch;
  };
  return {
    async prepare(request, { signal }) {
      const branch = branchOf(request.branch, request.lowWaterMark);
      return toResponse(await prepare(keeper, branch, request, signal));
    },
    async commit({ branch, lowWaterMark, traceparent }) {
      const named = branchOf(branch, lowWaterMark);
      await inServerSpan(`commit ${named.participant}`, traceparent, () => keeper.commit(named));
      return { heuristic: HeuristicOutcome.UNSPECIFIED };
    },
    async abort({ branch, lowWaterMark, traceparent }) {
      const named = branchOf(branch, lowWaterMark);
      await inServerSpan(`abort ${named.participant}`, traceparent, () => keeper.abort(named));
      return { heuristic: HeuristicOutcome.UNSPECIFIED };
    },
    async listPrepared({ participant, pageSize, pageToken }) {
      const { name, clusterId } = identity();
      if (participant !== name) throw new FailureError({ reason: 'UNKNOWN_PARTICIPANT', message: `participant ${name} serves here, not ${participant}` });
      if (pageSize < 0 || pageSize > MAX_PAGE) throw new FailureError(invalid('page_size', `must be from 0 to ${MAX_PAGE}`));
      const position = pageToken === '' ? { after: '' } : decodePageToken(name, pageToken);
      if (position === undefined) throw new FailureError(invalid('page_token', 'must be empty, or the next_page_token of a page'));
      const { prepared, more } = keeper.listPrepared(position.after, pageSize === 0 ? DEFAULT_PAGE : pageSize);
      const branches = prepared.map(({ branch, prepareMs }) => {
        const { count, nextMs } = keeper.inquiriesOf(branch);
        return {
          branch: toWire(branch, clusterId),
          prepareTime: toTimestamp(prepareMs),
          inquiries: count,
          nextInquiryTime: nextMs === undefined ? undefined : toTimestamp(nextMs),
        };
      });
      const last = prepared.at(-1);
      const nextPageToken = more && last ? encodePageToken(name, { partition: 0, after: last.branch.transactionId }) : '';
      return { branches, nextPageToken };
    },
    async resolve() {
      throw new FailureError({
        reason: 'UNKNOWN_OPERATION',
        message: 'this participant keeps no forced outcomes: settle the branch with the participant’s own tools, or wait for its coordinator',
      });
    },
    exchange: exchangeHandler(keeper, identity),
  };
}
