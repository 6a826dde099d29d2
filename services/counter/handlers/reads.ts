/** Get, BatchGet, GetRates and GetCounter. */

import {
  type BatchGetRequest,
  type BatchGetResponse,
  Consistency,
  type Counter,
  CounterServiceService as methods,
  type GetCounterRequest,
  type GetCounterResponse,
  type GetRatesRequest,
  type GetRatesResponse,
  type GetRequest,
  type GetResponse,
  type Rate,
} from '../../gen/txmesh/counter/v1/counter.ts';
import { clamped } from '../../kernel/counter/int64.ts';
import { homeOf, isEverywhere, partitionOfSlot, SLOTS } from '../../kernel/counter/placement.ts';
import type { CounterView } from '../../kernel/counter/types.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { failureToStatus } from '../../runtime/errors/status.ts';
import { workspaceOf } from '../../runtime/participant/handlers/workspace.ts';
import { ask, validate, waitUntilMs } from '../../runtime/participant/service.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { durationMs, toTimestamp } from '../../runtime/transport/time.ts';
import { toKind } from '../codec-partition.ts';
import type { PartitionPort } from './partition-port.ts';
import { counterService, type CounterServices } from './service.ts';
import { batchGetRequest, getCounterRequest, getRatesRequest, getRequest } from './validate.ts';
import { DEFAULT_MAX_AGE_MS, notFound, type ReadOptions, type Values } from './values.ts';

export class ReadHandlers {
  private readonly services: CounterServices;
  private readonly port: PartitionPort;
  private readonly values: Values;

  constructor(services: CounterServices, port: PartitionPort, values: Values) {
    this.services = services;
    this.port = port;
    this.values = values;
  }

  async get(request: GetRequest, context: CallContext): Promise<GetResponse> {
    validate(getRequest, request);
    const service = counterService(this.services, request.participant);
    if (request.transaction !== undefined) return this.getStaged(service, request, context);
    const [reading] = await this.values.read(service, [request.counter], optionsOf(request), context);
    if ('failure' in reading!) throw new FailureError(reading.failure);
    return { value: reading!.value };
  }

  async batchGet(request: BatchGetRequest, context: CallContext): Promise<BatchGetResponse> {
    validate(batchGetRequest, request);
    const service = counterService(this.services, request.participant);
    const readings = await this.values.read(service, request.counters, optionsOf(request), context);
    return {
      results: readings.map((reading) => ({
        result: 'value' in reading ? { $case: 'value', value: reading.value } : { $case: 'error', value: failureToStatus(reading.failure) },
      })),
    };
  }

  async getCounter(request: GetCounterRequest, context: CallContext): Promise<GetCounterResponse> {
    validate(getCounterRequest, request);
    return { counter: await this.counter(counterService(this.services, request.participant), request.counter, context) };
  }

  /** A counter as it is now. @throws FailureError */
  async counter(service: Service, name: string, context: CallContext): Promise<Counter> {
    const [view] = await this.values.views(service, homeOf(name, service.partitions), [name], Consistency.LINEARIZABLE, context);
    if (view === undefined) throw new FailureError(notFound(service, name));
    if (view.kind !== 'sharded') return toCounter(view);
    const views = await this.values.viewsEverywhere(service, [name], Consistency.EVENTUAL, context);
    return toCounter(view, movingSlots(service, views.map(([part]) => part)));
  }

  async getRates(request: GetRatesRequest, context: CallContext): Promise<GetRatesResponse> {
    validate(getRatesRequest, request);
    const service = counterService(this.services, request.participant);
    const { counter: name } = request;
    const home = homeOf(name, service.partitions);
    const [view] = await this.values.views(service, home, [name], Consistency.EVENTUAL, context);
    if (view === undefined) throw new FailureError(notFound(service, name));
    const asked = isEverywhere(view.kind) ? Array.from({ length: service.partitions }, (_, i) => i) : [home];
    const rates = await Promise.all(asked.map((partition) => this.port.ask(service.name, partition, { $case: 'rates', value: name }, 'rates', context)));
    const sum = (window: number): Rate | undefined => addRates(rates.flatMap(({ rates }) => rates[window] ?? []));
    return { minute: sum(0), hour: sum(1), day: sum(2) };
  }

  private async getStaged(service: Service, request: GetRequest, context: CallContext): Promise<GetResponse> {
    const { counter: name, transaction } = request;
    const partition = homeOf(name, service.partitions);
    const workspace = await workspaceOf(this.services, transaction!, service.name, partition);
    // A read within a transaction makes the transaction take part here, so it is more than a read.
    const route = { service: service.name, partition, method: methods.get, request, context, changes: true };
    return this.services.router.unary(route, async (term): Promise<GetResponse> => {
      const { answer } = await ask(this.services, term, 'read', context, true, (origin) => ({
        type: 'read',
        origin,
        query: { type: 'counters' as const, names: [name] },
        consistency: 'linearizable',
        deadlineMs: waitUntilMs(this.services, context),
        workspace,
      }));
      const view = answer.type === 'counters' ? answer.views[0] : undefined;
      if (view === undefined) throw new FailureError(notFound(service, name));
      const { kind, value } = view;
      return { value: { counter: name, kind: toKind(kind), value, age: undefined, pendingAdds: 0, pendingAge: undefined } };
    });
  }
}

function optionsOf({ consistency, maxAge }: Pick<GetRequest, 'consistency' | 'maxAge'>): ReadOptions {
  return { consistency, maxAgeMs: maxAge === undefined ? DEFAULT_MAX_AGE_MS : durationMs(maxAge) };
}

export function toCounter({ name, kind, bounds, shards, createMs }: CounterView, movingSlots = 0): Counter {
  const bounded = bounds.minimum !== undefined || bounds.maximum !== undefined;
  return {
    counter: name,
    kind: toKind(kind),
    bounds: bounded ? { ...bounds } : undefined,
    shards,
    movingSlots,
    createTime: toTimestamp(createMs),
  };
}

/** Slots that are still somewhere else than where they belong. */
function movingSlots(service: Service, views: readonly (CounterView | undefined)[]): number {
  let moving = 0;
  views.forEach((view, partition) => {
    for (const { slot, state } of view?.slots ?? []) {
      if (slot < SLOTS && state !== 'left' && partitionOfSlot(view!.name, slot, view!.shards, service.partitions) !== partition) moving++;
    }
  });
  return moving;
}

function addRates(rates: readonly Rate[]): Rate | undefined {
  const [first] = rates;
  if (first === undefined) return undefined;
  const sum = { window: first.window, added: 0n, adds: 0, perSecond: 0 };
  for (const { added, adds, perSecond } of rates) {
    sum.added = clamped(sum.added + added);
    sum.adds += adds;
    sum.perSecond += perSecond;
  }
  return sum;
}
