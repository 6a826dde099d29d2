/** A read by plain grpc-js, without the SDK: what it retries is the channel's affair. */

import * as grpc from '@grpc/grpc-js';
import { KeyValueServiceService as KeyValue } from '../../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';

const BOUND_MS = 30_000;

/** Resolves with the address of the replica that answered. */
export function plainGet(client: grpc.Client, key = 'k'): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = KeyValue.get;
  const request = { participant: 'inventory', collection: 'c', key, consistency: 0 as const, transaction: undefined };
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline: Date.now() + BOUND_MS }, (error) => {
      // That the key is absent is an answer.
      if (error === null || error.code === grpc.status.NOT_FOUND) resolve(call.getPeer());
      else reject(error);
    });
  });
}
