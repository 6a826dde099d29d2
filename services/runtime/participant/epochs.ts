/**
 * Epochs that callers name. A coordinator partition steps down when a participant tells it of a later
 * epoch (P5), and a mark from the future would refuse every prepare to come; so an epoch is only
 * passed on when the view shows a leader of that epoch or a later one.
 */

import type { Attempt } from '../../kernel/attempt.ts';
import { COORDINATOR } from '../cluster/view.ts';
import { FailureError } from '../errors/failure-error.ts';
import { LEADER_WAIT_MS, noLeader } from '../router/place.ts';
import type { ParticipantServices } from './service.ts';

/** Waits a moment for a view that is behind. @throws FailureError if nobody has led under this epoch. */
export async function requireKnownEpoch(
  { view, clock }: Pick<ParticipantServices, 'view' | 'clock'>,
  coordinatorPartition: number,
  ...attempts: readonly (Attempt | undefined)[]
): Promise<void> {
  const epoch = Math.max(...attempts.map((attempt) => attempt?.epoch ?? 0));
  const isKnown = (): boolean => epoch <= (view.leader(COORDINATOR, coordinatorPartition)?.epoch ?? 0);
  if (isKnown()) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      timer.cancel();
      unsubscribe();
      resolve();
    };
    const timer = clock.setTimer(LEADER_WAIT_MS, done);
    const unsubscribe = view.onChange(() => {
      if (isKnown()) done();
    });
  });
  const leader = view.leader(COORDINATOR, coordinatorPartition);
  if (leader === undefined) throw new FailureError(noLeader(COORDINATOR, coordinatorPartition));
  if (epoch <= leader.epoch) return;
  throw new FailureError({
    reason: 'WRONG_ATTEMPT',
    message: `epoch ${epoch} is above ${leader.epoch}, that of the leader of coordinator partition ${coordinatorPartition}: nobody has made such an attempt`,
    metadata: { epoch: String(leader.epoch) },
  });
}
