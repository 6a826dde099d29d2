/** What each method of ParticipantService needs: the protocol between replicas is theirs alone. */

import type { participantService } from '../../transport/links/index.ts';
import type { AccessTable, MethodAccess } from '../../security/access.ts';

const replicas: MethodAccess = { right: 'peer', about: [] };

export const participantAccess: AccessTable<ReturnType<typeof participantService>> = {
  prepare: replicas,
  commit: replicas,
  abort: replicas,
  exchange: replicas,
  listPrepared: { right: 'admin', about: ['participants'], judge: ({ participant }, judge) => judge.needsParticipant(participant) },
  resolve: { right: 'admin', about: ['participants'], judge: ({ branch }, judge) => judge.needsParticipant(branch?.participant ?? '') },
};
