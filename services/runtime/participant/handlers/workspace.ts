/** The branch of an interactive transaction at a partition, under the attempt that Begin returned. */

import type { TransactionContext } from '../../../gen/txmesh/common/v1/common.ts';
import { partitionOf } from '../../../kernel/hash.ts';
import type { BranchId } from '../../../kernel/messages.ts';
import { requireKnownEpoch } from '../epochs.ts';
import { coordinatorPartitions, type ParticipantServices } from '../service.ts';

export async function workspaceOf(
  services: Pick<ParticipantServices, 'view' | 'clock'>,
  { transactionId, attempt }: TransactionContext,
  participant: string,
  partition: number,
): Promise<BranchId> {
  const coordinatorPartition = partitionOf(transactionId, coordinatorPartitions(services));
  await requireKnownEpoch(services, coordinatorPartition, attempt);
  return { transactionId, attempt: attempt!, coordinatorPartition, participant, partition };
}
