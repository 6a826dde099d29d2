/** The least of a mesh that a participant needs: a place to register, and a coordinator that has decided nothing. */

import { randomUUID } from 'node:crypto';
import { ClusterServiceService, Service_Kind, type Cluster } from '../../gen/txmesh/cluster/v1/cluster.ts';
import { CoordinatorServiceService, InquireResponse_Outcome } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { MeshServer } from '../../runtime/transport/server.ts';
import type { Handlers } from '../../runtime/transport/service.ts';
import { toDuration } from '../../runtime/transport/time.ts';
import { systemEnvironment } from '../options.ts';

const TIME_TO_LIVE_MS = 10_000;

export interface ConformanceMesh extends AsyncDisposable {
  /** host:port */
  readonly address: string;
  readonly clusterId: string;
}

/** A participant that asks it for an outcome hears PENDING, so that it keeps its promises while it is checked. */
export async function startConformanceMesh(): Promise<ConformanceMesh> {
  const clusterId = randomUUID();
  const { clock, entropy } = systemEnvironment;
  const server = new MeshServer({ clock, entropy, log: () => undefined });
  const cluster = (): Cluster => ({
    clusterId,
    hash: 'fnv1a-32',
    services: [{ name: 'coordinator', kind: Service_Kind.COORDINATOR, partitions: [{ number: 0, address: mesh.address, epoch: 1 }] }],
  });
  server.add(ClusterServiceService, {
    getCluster: async () => ({ cluster: cluster() }),
    async *watchCluster() {
      yield { cluster: cluster() };
    },
    registerParticipant: async ({ registrationId }) => ({
      registrationId: registrationId || randomUUID(),
      clusterId,
      timeToLive: toDuration(TIME_TO_LIVE_MS),
    }),
  });
  const nothingElse = async (): Promise<never> => {
    throw new FailureError({ reason: 'INTERNAL', message: 'this mesh runs no transactions' });
  };
  const coordinator = Object.fromEntries(Object.keys(CoordinatorServiceService).map((name) => [name, nothingElse]));
  server.add(CoordinatorServiceService, {
    ...(coordinator as unknown as Handlers<typeof CoordinatorServiceService>),
    inquire: async () => ({ outcome: InquireResponse_Outcome.PENDING }),
  });
  const port = await server.listen('127.0.0.1', 0);
  const mesh = { address: `127.0.0.1:${port}`, clusterId, [Symbol.asyncDispose]: () => server.close(0) };
  return mesh;
}
