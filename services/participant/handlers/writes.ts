/** Put, Delete and ExecuteLocal: local transactions, or work of an interactive one. */

import type { Operation } from '../../gen/txmesh/common/v1/common.ts';
import {
  type DeleteRequest,
  type DeleteResponse,
  type ExecuteLocalRequest,
  type ExecuteLocalResponse,
  KeyValueServiceService as methods,
  type PutRequest,
  type PutResponse,
} from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { partitionOf } from '../../kernel/hash.ts';
import type { KeyValueOperation } from '../../kernel/keyvalue/types.ts';
import { idTimeMs } from '../../kernel/transaction-id.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { Violations } from '../../runtime/router/rules.ts';
import type { Method } from '../../runtime/transport/channels.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { durationMs, timestampMs } from '../../runtime/transport/time.ts';
import {
  ask,
  keyValueService,
  misplacedOperation,
  partitionOfKey,
  validate,
  waitUntilMs,
  type KeyValueTerm,
  type ParticipantServices,
} from './service.ts';
import { toKey, toPut } from '../codec-operations.ts';
import { fingerprintOf } from './fingerprint.ts';
import { deleteRequest, executeLocalRequest, putRequest } from './validate.ts';
import { workspaceOf } from './workspace.ts';

export class WriteHandlers {
  private readonly services: ParticipantServices;

  constructor(services: ParticipantServices) {
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
    this.services.router.requireRoom();
    const [first] = request.operations as [Operation, ...Operation[]];
    const service = keyValueService(this.services, first.participant);
    const partition = partitionOf(first.routingKey, service.partitions);
    request.operations.forEach(({ participant, routingKey }, i) => {
      if (participant === first.participant && partitionOf(routingKey, service.partitions) === partition) return;
      const description = `belongs to another partition than operations[0]: a local transaction has one; use CoordinatorService.Execute`;
      throw new FailureError({
        reason: 'WRONG_PARTITION',
        message: `operations[${i}] ${description}`,
        violations: [{ field: `operations[${i}]`, description }],
      });
    });
    const operations = this.services.decodeOperations(first.participant, request.operations.map(({ operation }) => operation!));
    if ('reason' in operations) throw new FailureError(operations);
    const misplaced = misplacedOperation(operations, service, partition);
    if (misplaced !== undefined) throw new FailureError(misplaced);
    const route = { service: first.participant, partition, method: methods.executeLocal, request, context, changes: true };
    const timeoutMs = request.timeout === undefined ? undefined : durationMs(request.timeout);
    const ageMs = request.firstTryTime === undefined ? undefined : timestampMs(request.firstTryTime);
    return this.services.router.unary(route, async (term) => ({
      revision: await this.local(term, request.transactionId, operations, context, timeoutMs, ageMs),
    }));
  }

  /** One write, by itself or within an interactive transaction. */
  private async write<Request extends PutRequest | DeleteRequest>(
    method: Method<Request, { version: number }>,
    received: Request,
    operation: KeyValueOperation,
    context: CallContext,
  ): Promise<{ version: number }> {
    const { participant, key, transaction } = received;
    const service = keyValueService(this.services, participant);
    const partition = partitionOfKey(service, key);
    // The id is chosen before the request is forwarded, so that both sides speak of the same one.
    const chosen = transaction === undefined && received.requestId === '';
    const request = chosen ? { ...received, requestId: this.services.newId() } : received;
    const route = { service: participant, partition, method, request, context, changes: true };
    return this.services.router.unary(route, async (term) => {
      if (transaction === undefined) return { version: await this.local(term, request.requestId, [operation], context) };
      const branch = await workspaceOf(this.services, transaction, participant, partition);
      const { revision } = await ask(this.services, term, 'done', context, true, (origin) => ({
        type: 'work',
        origin,
        branch,
        operations: [operation],
        deadlineMs: waitUntilMs(this.services, context),
      }));
      return { version: revision };
    });
  }

  private async local(
    term: KeyValueTerm,
    transactionId: string,
    operations: readonly KeyValueOperation[],
    context: CallContext,
    timeoutMs?: number,
    firstTryMs?: number,
  ): Promise<number> {
    const { revision } = await ask(this.services, term, 'done', context, true, (origin) => ({
      type: 'local',
      origin,
      transactionId,
      fingerprint: fingerprintOf(operations),
      operations,
      firstTryMs: firstTryMs ?? idTimeMs(transactionId),
      deadlineMs: waitUntilMs(this.services, context, timeoutMs),
    }));
    return revision;
  }
}
