/** What each method of ClusterService needs. */

import type { ClusterServiceService } from '../../gen/txmesh/cluster/v1/cluster.ts';
import type { AccessTable } from '../security/access.ts';

export const clusterAccess: AccessTable<typeof ClusterServiceService> = {
  getCluster: { right: 'ordinary', about: [] },
  watchCluster: { right: 'ordinary', about: [] },
  registerParticipant: { right: 'participate', about: ['participants'], judge: ({ name }, judge) => judge.needsParticipant(name) },
};
