/** What is not finished in a mesh: transactions at the coordinator, prepared branches at the participants. */

import * as grpc from '@grpc/grpc-js';
import type { Mesh } from 'txmesh/client';
import { ParticipantServiceClient } from '../../../services/gen/txmesh/participant/v1/participant.ts';

/** In words; empty when there is nothing. @param others participants beside inventory and payments. */
export async function unfinished(
  mesh: Mesh,
  address: string,
  credentials = grpc.credentials.createInsecure(),
  others: readonly string[] = [],
): Promise<string[]> {
  const found: string[] = [];
  for await (const { transactionId, state } of mesh.list({ states: ['ACTIVE', 'PREPARING', 'COMMITTING', 'ABORTING'] }))
    found.push(`${transactionId} is ${state}`);
  // As the name that is in the certificate, where there is one: an IP address is no server name.
  const client = new ParticipantServiceClient(address.replace('127.0.0.1', 'localhost'), credentials);
  try {
    for (const participant of ['inventory', 'payments', ...others]) {
      const branches = await new Promise<string[]>((resolve, reject) =>
        client.listPrepared({ participant, pageSize: 1000, pageToken: '' }, new grpc.Metadata(), { deadline: Date.now() + 10_000 }, (error, response) =>
          error === null ? resolve(response.branches.map(({ branch }) => branch!.transactionId)) : reject(error)),
      );
      for (const id of branches) found.push(`${id} is in doubt at ${participant}`);
    }
  } finally {
    client.close();
  }
  return found;
}
