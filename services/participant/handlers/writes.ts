/** Put, Delete and ExecuteLocal: local transactions, or work of an interactive one. */

import {
  type DeleteRequest,
  type DeleteResponse,
  type ExecuteLocalRequest,
  type ExecuteLocalResponse,
  KeyValueServiceService as methods,
  type PutRequest,
  type PutResponse,
} from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { KeyValueOperation } from '../../kernel/keyvalue/types.ts';
import { workspaceOf } from '../../runtime/participant/handlers/workspace.ts';
import { executeLocal, runLocal, stageWork } from '../../runtime/participant/local.ts';
import { serviceOfKind, validate } from '../../runtime/participant/service.ts';
import { Violations } from '../../runtime/router/rules.ts';
import type { Method } from '../../runtime/transport/channels.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { toKey, toPut } from '../codec-operations.ts';
import { partitionOfKey, type KeyValueServices } from './service.ts';
import { deleteRequest, executeLocalRequest, putRequest } from './validate.ts';

export class WriteHandlers {
  private readonly services: KeyValueServices;

  constructor(services: KeyValueServices) {
    this.services = services;
  }

  async put(request: PutRequest, context: CallContext): Promise<PutResponse> {
    validate(putRequest, request);
    this.services.router.requireRoom();
    const operation = toPut(request, '', new Violations());
    return this.write(methods.put, request, operation, context);
  }

  async delete(request: DeleteRequest, context: CallContext): Promise<DeleteResponse> {
    validate(deleteRequest, request);
    const { collection, key, precondition } = request;
    const operation: KeyValueOperation = { type: 'delete', ...toKey(collection, key, precondition, '', new Violations()) };
    return this.write(methods.delete, request, operation, context);
  }

  async executeLocal(request: ExecuteLocalRequest, context: CallContext): Promise<ExecuteLocalResponse> {
    validate(executeLocalRequest, request);
    return executeLocal(this.services, methods.executeLocal, request, context);
  }

  /** One write, by itself or within an interactive transaction. */
  private async write<Request extends PutRequest | DeleteRequest>(
    method: Method<Request, { version: number }>,
    received: Request,
    operation: KeyValueOperation,
    context: CallContext,
  ): Promise<{ version: number }> {
    const { participant, key, transaction } = received;
    const service = serviceOfKind(this.services, participant);
    const partition = partitionOfKey(service, key);
    // The id is chosen before the request is forwarded, so that both sides speak of the same one.
    const chosen = transaction === undefined && received.requestId === '';
    const request = chosen ? { ...received, requestId: this.services.newId() } : received;
    const route = { service: participant, partition, method, request, context, changes: true };
    return this.services.router.unary(route, async (term) => {
      if (transaction === undefined)
        return { version: await runLocal(this.services, term, { transactionId: request.requestId, operations: [operation] }, context) };
      const branch = await workspaceOf(this.services, transaction, participant, partition);
      return { version: await stageWork(this.services, term, branch, [operation], context) };
    });
  }
}
