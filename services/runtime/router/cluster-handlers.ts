/** ClusterService as it is registered with a server; its handlers are in services/runtime/cluster. */

export { ClusterServiceService } from '../../gen/txmesh/cluster/v1/cluster.ts';
