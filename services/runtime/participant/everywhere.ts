/**
 * One operation at every partition of a service, as one transaction: what exists at all of them is
 * created, changed and removed so. With one partition it is a local transaction where that is led;
 * with several the coordinator carries it out, so there are at most as many as a transaction may have
 * branches.
 */

import { routingKeyFor } from '../../kernel/hash.ts';
import type { OpaqueOperation } from '../../kernel/messages.ts';
import type { ResourceTypes } from '../../kernel/participant/types.ts';
import type { Service } from '../cluster/view.ts';
import { FailureError } from '../errors/failure-error.ts';
import type { Method } from '../transport/channels.ts';
import type { CallContext } from '../transport/service.ts';
import { runLocal } from './local.ts';
import type { ParticipantServices } from './service.ts';

export interface Everywhere<Request, Response> {
  readonly service: Service;
  /** UUIDv7; the same one again, with the same operation, gets the same outcome. */
  readonly transactionId: string;
  /** The kind decodes it at each partition, and finds it misplaced at none. */
  readonly operation: OpaqueOperation;
  /** How long it may wait for locks and votes, milliseconds; never longer than the call's deadline. */
  readonly timeoutMs?: number | undefined;
  /** The call that is served, to be forwarded where the only partition is led elsewhere: the request has the id. */
  readonly method: Method<Request, Response>;
  readonly request: Request;
  readonly context: CallContext;
}

/**
 * Gives `answer()` when the operation is committed at every partition.
 * @throws FailureError why it is not: a participant's own refusal with its details, or that there is no outcome.
 */
export async function everywhere<T extends ResourceTypes, Event, Request, Response>(
  services: Pick<ParticipantServices<T, Event>, 'router' | 'kind' | 'clock' | 'transactions'>,
  call: Everywhere<Request, Response>,
  answer: () => Response,
): Promise<Response> {
  const { service, transactionId, operation, timeoutMs, method, request, context } = call;
  const { router, kind, transactions } = services;
  const { name, partitions } = service;
  router.requireRoom();
  if (partitions === 1) {
    return router.unary({ service: name, partition: 0, method, request, context, changes: true }, async (term) => {
      const operations = kind.decodeOperations([operation]);
      if ('reason' in operations) throw new FailureError(operations);
      await runLocal(services, term, { transactionId, operations, timeoutMs }, context);
      return answer();
    });
  }
  const operations = Array.from({ length: partitions }, (_, partition) => ({
    participant: name,
    routingKey: routingKeyFor(partition, partitions),
    operation,
  }));
  const failure = await transactions.execute({ transactionId, operations, timeoutMs }, context);
  if (failure !== undefined) throw new FailureError(failure);
  return answer();
}
