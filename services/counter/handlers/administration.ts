/** CreateCounter, UpdateCounter, DeleteCounter, CompareAndSet and Reset: changes by transactions, idempotent by their id. */

import {
  type CompareAndSetRequest,
  type CompareAndSetResponse,
  CounterServiceService as methods,
  type CreateCounterRequest,
  type CreateCounterResponse,
  type DeleteCounterRequest,
  type DeleteCounterResponse,
  type ResetRequest,
  type ResetResponse,
  Consistency,
  type UpdateCounterRequest,
  type UpdateCounterResponse,
} from '../../gen/txmesh/counter/v1/counter.ts';
import { homeOf, isEverywhere } from '../../kernel/counter/placement.ts';
import type { Bounds, CounterKind, CounterOperation, CreateOperation, DeleteOperation, UpdateOperation } from '../../kernel/counter/types.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { everywhere } from '../../runtime/participant/everywhere.ts';
import { runLocal } from '../../runtime/participant/local.ts';
import { validate } from '../../runtime/participant/service.ts';
import type { Method } from '../../runtime/transport/channels.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { encodeConfiguration } from '../codec-operations.ts';
import { fromKind } from '../codec-partition.ts';
import type { ReadHandlers } from './reads.ts';
import { counterService, type CounterServices } from './service.ts';
import { compareAndSetRequest, createCounterRequest, deleteCounterRequest, resetRequest, updateCounterRequest } from './validate.ts';
import type { Values } from './values.ts';

const DEFAULT_SHARDS = 8;
const UNBOUNDED: Bounds = { minimum: undefined, maximum: undefined };

type Configuration = CreateOperation | UpdateOperation | DeleteOperation;
type Requested<Response> = { readonly counter: string; readonly requestId: string } & { readonly __response?: Response };

export class AdministrationHandlers {
  private readonly services: CounterServices;
  private readonly reads: ReadHandlers;
  private readonly values: Values;

  constructor(services: CounterServices, reads: ReadHandlers, values: Values) {
    this.services = services;
    this.reads = reads;
    this.values = values;
  }

  async createCounter(received: CreateCounterRequest, context: CallContext): Promise<CreateCounterResponse> {
    validate(createCounterRequest, received);
    const service = counterService(this.services, received.participant);
    const request = this.identified(received);
    const { counter: name, initialValue: value, requestId: id } = request;
    const kind = fromKind(request.kind)!;
    const shards = kind === 'sharded' ? request.shards || DEFAULT_SHARDS : 0;
    const operation: CreateOperation = { type: 'create', name, id, kind, bounds: boundsOf(request.bounds), value, shards };
    await this.configure(service, kind, operation, methods.createCounter, request, context, () => ({ counter: undefined }));
    return { counter: await this.reads.counter(service, name, context) };
  }

  async updateCounter(received: UpdateCounterRequest, context: CallContext): Promise<UpdateCounterResponse> {
    validate(updateCounterRequest, received);
    const service = counterService(this.services, received.participant);
    const request = this.identified(received);
    const { counter: name, bounds, shards } = request;
    const operation: UpdateOperation = { type: 'update', name, bounds: bounds && boundsOf(bounds), shards };
    await this.reconfigure(service, operation, methods.updateCounter, request, context, () => ({ counter: undefined }));
    return { counter: await this.reads.counter(service, name, context) };
  }

  async deleteCounter(received: DeleteCounterRequest, context: CallContext): Promise<DeleteCounterResponse> {
    validate(deleteCounterRequest, received);
    const service = counterService(this.services, received.participant);
    const request = this.identified(received);
    return this.reconfigure(service, { type: 'delete', name: request.counter }, methods.deleteCounter, request, context, () => ({}));
  }

  async compareAndSet(received: CompareAndSetRequest, context: CallContext): Promise<CompareAndSetResponse> {
    validate(compareAndSetRequest, received);
    const service = counterService(this.services, received.participant);
    const request = this.identified(received);
    const { counter: name, expected, value } = request;
    return this.atHome(service, { type: 'set', name, expected, value }, methods.compareAndSet, request, context, () => ({}));
  }

  async reset(received: ResetRequest, context: CallContext): Promise<ResetResponse> {
    validate(resetRequest, received);
    const service = counterService(this.services, received.participant);
    const request = this.identified(received);
    const { counter: name, value } = request;
    return this.atHome(service, { type: 'set', name, expected: undefined, value }, methods.reset, request, context, () => ({}));
  }

  /** The id is chosen before the request is forwarded, so that both sides speak of the same one. */
  private identified<Request extends { readonly requestId: string }>(request: Request): Request {
    return request.requestId === '' ? { ...request, requestId: this.services.newId() } : request;
  }

  /** At every partition that has a part of such a counter. */
  private configure<Request extends Requested<Response>, Response>(
    service: Service,
    kind: CounterKind,
    operation: Configuration,
    method: Method<Request, Response>,
    request: Request,
    context: CallContext,
    answer: () => Response,
  ): Promise<Response> {
    if (!isEverywhere(kind)) return this.atHome(service, operation, method, request, context, answer);
    const transactionId = request.requestId;
    return everywhere(this.services, { service, transactionId, operation: encodeConfiguration(operation), method, request, context }, answer);
  }

  private atHome<Request extends Requested<Response>, Response>(
    service: Service,
    operation: CounterOperation,
    method: Method<Request, Response>,
    request: Request,
    context: CallContext,
    answer: () => Response,
  ): Promise<Response> {
    this.services.router.requireRoom();
    const partition = homeOf(request.counter, service.partitions);
    const route = { service: service.name, partition, method, request, context, changes: true };
    return this.services.router.unary(route, async (term) => {
      await runLocal(this.services, term, { transactionId: request.requestId, operations: [operation] }, context);
      return answer();
    });
  }

  /** As the counter's kind wants it. */
  private async reconfigure<Request extends Requested<Response>, Response>(
    service: Service,
    operation: Configuration,
    method: Method<Request, Response>,
    request: Request,
    context: CallContext,
    answer: () => Response,
  ): Promise<Response> {
    const { name } = operation;
    // What is forwarded is for this one partition.
    if (context.forwarded) return this.atHome(service, operation, method, request, context, answer);
    const [view] = await this.values.views(service, homeOf(name, service.partitions), [name], Consistency.LINEARIZABLE, context);
    if (view !== undefined) return this.configure(service, view.kind, operation, method, request, context, answer);
    // It may be a retry of what has deleted it: whoever carried that out remembers the id.
    try {
      return await this.configure(service, 'strong', operation, method, request, context, answer);
    } catch (error) {
      const gone = error instanceof FailureError && error.failure.reason === 'COUNTER_NOT_FOUND';
      if (!gone || service.partitions === 1) throw error;
      return this.configure(service, 'sharded', operation, method, request, context, answer);
    }
  }
}

function boundsOf(bounds: { readonly minimum?: bigint | undefined; readonly maximum?: bigint | undefined } | undefined): Bounds {
  return bounds === undefined ? UNBOUNDED : { minimum: bounds.minimum, maximum: bounds.maximum };
}
