/** Who leads what, as a replica tells. */

import * as grpc from '@grpc/grpc-js';
import { ClusterServiceClient, type Cluster } from '../../../services/gen/txmesh/cluster/v1/cluster.ts';

/** The leaders' addresses by service and partition; empty where nobody leads. */
export async function leadersOf(address: string): Promise<Map<string, string[]>> {
  const client = new ClusterServiceClient(address, grpc.credentials.createInsecure());
  try {
    const map = await new Promise<Cluster>((resolve, reject) =>
      client.getCluster({}, (error, response) => (error === null ? resolve(response.cluster!) : reject(error))),
    );
    return new Map(map.services.map(({ name, partitions }) => [name, partitions.map((partition) => partition.address)]));
  } finally {
    client.close();
  }
}
