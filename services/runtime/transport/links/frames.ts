/** What one frame of ParticipantService.Exchange holds, in the kernels' terms, and the enums of its messages. */

import type { Heuristic, Mark, ToCoordinator, ToParticipant, Vote } from '../../../kernel/messages.ts';
import { HeuristicOutcome, Vote as WireVote } from '../../../gen/txmesh/participant/v1/participant.ts';

export interface RequestFrame {
  readonly clusterId: string;
  readonly marks: readonly Mark[];
  readonly messages: readonly ToParticipant[];
}

export interface ResponseFrame {
  readonly clusterId: string;
  readonly messages: readonly ToCoordinator[];
}

export const WIRE_VOTES = { yes: WireVote.YES, no: WireVote.NO, readOnly: WireVote.READ_ONLY } as const;

export function voteFromWire(vote: number): Vote {
  if (vote === WireVote.YES) return 'yes';
  if (vote === WireVote.READ_ONLY) return 'readOnly';
  // Whatever a newer participant may vote: it is not the promise of a yes.
  return 'no';
}

export function heuristicToWire(heuristic: Heuristic | undefined): HeuristicOutcome {
  if (heuristic === undefined) return HeuristicOutcome.UNSPECIFIED;
  return heuristic === 'commit' ? HeuristicOutcome.COMMIT : HeuristicOutcome.ABORT;
}

export function heuristicFromWire(outcome: number): Heuristic | undefined {
  if (outcome === HeuristicOutcome.COMMIT) return 'commit';
  return outcome === HeuristicOutcome.ABORT ? 'abort' : undefined;
}
