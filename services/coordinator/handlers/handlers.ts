/** CoordinatorService, put together. */

import { CoordinatorServiceService } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Handlers } from '../../runtime/transport/service.ts';
import { ExecuteSession, type StreamParts } from './execute-stream.ts';
import { Forwarder } from './forward-stream.ts';
import { listTransactions } from './list.ts';
import { Planner } from './plan.ts';
import { resolveTransaction } from './resolve.ts';
import type { CoordinatorServices } from './service.ts';
import { TransactionHandlers } from './transactions.ts';
import { watchTransactions } from './watch.ts';

export { CoordinatorServiceService };

export interface CoordinatorApi {
  readonly handlers: Handlers<typeof CoordinatorServiceService>;
  /** Ends the streams to other replicas. */
  close(): void;
}

export function coordinatorApi(services: CoordinatorServices): CoordinatorApi {
  const transactions = new TransactionHandlers(services);
  const forwarder = new Forwarder(services.router);
  const requests = services.metrics?.requests.stream(CoordinatorServiceService.executeStream.path);
  const parts: StreamParts = { services, planner: new Planner(services), forwarder, requests };
  return {
    handlers: {
      execute: (request, context) => transactions.execute(request, context),
      executeStream: (calls, context) => new ExecuteSession(parts, calls, context).run(),
      beginTransaction: (request, context) => transactions.begin(request, context),
      enlist: (request, context) => transactions.enlist(request, context),
      commitTransaction: (request, context) => transactions.commit(request, context),
      abortTransaction: (request, context) => transactions.abort(request, context),
      getTransaction: (request, context) => transactions.get(request, context),
      listTransactions: (request, context) => listTransactions(services, request, context),
      watchTransactions: (request, context) => watchTransactions(services, request, context),
      retryTransaction: (request, context) => transactions.retry(request, context),
      resolveTransaction: (request, context) => resolveTransaction(services, request, context),
      inquire: (request, context) => transactions.inquire(request, context),
    },
    close: () => forwarder.close(),
  };
}
