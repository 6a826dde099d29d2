/** Get, BatchGet and ListVersions. */

import {
  type BatchGetRequest,
  type BatchGetResponse,
  Consistency,
  type Entry,
  type GetRequest,
  type GetResponse,
  KeyValueServiceService as methods,
  type ListVersionsRequest,
  type ListVersionsResponse,
} from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { nameOf } from '../../kernel/keyvalue/keys.ts';
import type { KeyValueQuery } from '../../kernel/keyvalue/types.ts';
import type { BranchId } from '../../kernel/messages.ts';
import { workspaceOf } from '../../runtime/participant/handlers/workspace.ts';
import { ask, serviceOfKind, validate, waitUntilMs } from '../../runtime/participant/service.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { batchGet } from './batch-get.ts';
import { partitionOfKey, type KeyValueTerm, type KeyValueServices } from './service.ts';
import { batchGetRequest, getRequest, listVersionsRequest } from './validate.ts';
import { toEntry } from '../codec-keyvalue.ts';

export class ReadHandlers {
  private readonly services: KeyValueServices;

  constructor(services: KeyValueServices) {
    this.services = services;
  }

  async get(request: GetRequest, context: CallContext): Promise<GetResponse> {
    validate(getRequest, request);
    const { participant, collection, key, consistency, transaction } = request;
    const service = serviceOfKind(this.services, participant);
    const partition = partitionOfKey(service, key);
    // A read within a transaction makes the transaction take part here, so it is more than a read.
    const changes = transaction !== undefined;
    const workspace = transaction && (await workspaceOf(this.services, transaction, participant, partition));
    const route = { service: participant, partition, method: methods.get, request, context, changes };
    return this.services.router.unary(route, async (term) => {
      const names = [nameOf(collection, key)];
      const [entry] = await this.read(term, { type: 'keys', names }, consistency, context, workspace);
      return { entry: entry! };
    });
  }

  async batchGet(request: BatchGetRequest, context: CallContext): Promise<BatchGetResponse> {
    validate(batchGetRequest, request);
    return batchGet(this.services, serviceOfKind(this.services, request.participant), request, context);
  }

  async listVersions(request: ListVersionsRequest, context: CallContext): Promise<ListVersionsResponse> {
    validate(listVersionsRequest, request);
    const { participant, collection, key } = request;
    const partition = partitionOfKey(serviceOfKind(this.services, participant), key);
    const route = { service: participant, partition, method: methods.listVersions, request, context, changes: false };
    return this.services.router.unary(route, async (term) => ({
      versions: await this.read(term, { type: 'versions', name: nameOf(collection, key) }, Consistency.LINEARIZABLE, context),
    }));
  }

  private async read(
    term: KeyValueTerm,
    query: KeyValueQuery,
    consistency: Consistency,
    context: CallContext,
    workspace?: BranchId,
  ): Promise<Entry[]> {
    const { answer } = await ask(this.services, term, 'read', context, workspace !== undefined, (origin) => ({
      type: 'read',
      origin,
      query,
      consistency: consistency === Consistency.EVENTUAL ? 'eventual' : 'linearizable',
      deadlineMs: waitUntilMs(this.services, context),
      ...(workspace !== undefined && { workspace }),
    }));
    return answer.entries.map(toEntry);
  }
}
