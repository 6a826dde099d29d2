/**
 * Values of counters, whatever their kind: their home says which it is, and a counter that is
 * everywhere is read everywhere.
 */

import { Consistency, type CounterValue } from '../../gen/txmesh/counter/v1/counter.ts';
import { SLOTS, homeOf, isEverywhere } from '../../kernel/counter/placement.ts';
import { isInt64 } from '../../kernel/counter/int64.ts';
import { mergeComponents, valueOf } from '../../kernel/counter/replicated.ts';
import type { Component, CounterView, Slot } from '../../kernel/counter/types.ts';
import type { Failure } from '../../kernel/failure.ts';
import { delay } from '../../runtime/clock.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { toDuration } from '../../runtime/transport/time.ts';
import { fromView, toConsistency, toKind } from '../codec-partition.ts';
import type { PartitionPort } from './partition-port.ts';
import type { CounterServices } from './service.ts';

export type Reading = { readonly value: CounterValue } | { readonly failure: Failure };

export interface ReadOptions {
  readonly consistency: Consistency;
  /** Of an eventual read of a counter that is everywhere, milliseconds. */
  readonly maxAgeMs: number;
}

/** Slots on the move are looked for so often, and this long apart, milliseconds. */
const TRIES = 20;
const TRY_AGAIN_MS = 25;
/** Most sums that are remembered; the one read longest ago is forgotten first. */
const MOST_SUMS = 100_000;
export const DEFAULT_MAX_AGE_MS = 1_000;

interface Sum {
  readonly value: CounterValue;
  /** On the monotonic clock, when the reading began. */
  readonly atMs: number;
}

export class Values {
  private readonly services: CounterServices;
  private readonly port: PartitionPort;
  private readonly sums = new Map<string, Sum>();

  constructor(services: CounterServices, port: PartitionPort) {
    this.services = services;
    this.port = port;
  }

  /** In the order of the names. */
  async read(service: Service, names: readonly string[], options: ReadOptions, context: CallContext): Promise<Reading[]> {
    const readings = new Map<string, Reading>();
    const asked = new Map<number, string[]>();
    for (const name of new Set(names)) {
      const sum = options.consistency === Consistency.EVENTUAL ? this.remembered(service, name, options.maxAgeMs) : undefined;
      if (sum !== undefined) readings.set(name, { value: sum });
      else append(asked, homeOf(name, service.partitions), name);
    }
    const everywhere: CounterView[] = [];
    const homes = [...asked].map(async ([partition, names]) => {
      const views = await failing(this.views(service, partition, names, options.consistency, context));
      for (const [i, name] of names.entries()) {
        const view = 'failure' in views ? undefined : views[i];
        if ('failure' in views) readings.set(name, (await this.heardElsewhere(service, name, options, context)) ?? views);
        else if (view === undefined) readings.set(name, { failure: notFound(service, name) });
        else if (view.kind === 'replicated' && options.consistency === Consistency.EVENTUAL) readings.set(name, sumOf(name, [view])!);
        else if (isEverywhere(view.kind)) everywhere.push(view);
        else readings.set(name, { value: this.valueAtHome(view) });
      }
    });
    await Promise.all(homes);
    if (everywhere.length > 0) {
      const read = await failing(this.readEverywhere(service, everywhere, options, context, readings));
      if (read !== undefined) for (const { name } of everywhere) if (!readings.has(name)) readings.set(name, read);
    }
    return names.map((name) => readings.get(name)!);
  }

  /** An eventual read of a replicated counter whose home is away: what another partition has heard. */
  private async heardElsewhere(service: Service, name: string, { consistency }: ReadOptions, context: CallContext): Promise<Reading | undefined> {
    if (consistency !== Consistency.EVENTUAL) return undefined;
    const home = homeOf(name, service.partitions);
    for (let partition = 0; partition < service.partitions; partition++) {
      if (partition === home) continue;
      const views = await failing(this.views(service, partition, [name], consistency, context));
      if ('failure' in views) continue;
      const [view] = views;
      return view?.kind === 'replicated' ? sumOf(name, [view]) : undefined;
    }
    return undefined;
  }

  /** What a partition has of counters. @throws FailureError */
  async views(service: Service, partition: number, names: string[], consistency: Consistency, context: CallContext): Promise<(CounterView | undefined)[]> {
    const linearizable = consistency !== Consistency.EVENTUAL;
    const ask = { $case: 'read' as const, value: { names, consistency: toConsistency(linearizable) } };
    const { views } = await this.port.ask(service.name, partition, ask, 'views', context);
    return names.map((_, i) => fromView(views[i]!));
  }

  /** What every partition has of counters, by partition. @throws FailureError */
  viewsEverywhere(service: Service, names: string[], consistency: Consistency, context: CallContext): Promise<(CounterView | undefined)[][]> {
    const partitions = Array.from({ length: service.partitions }, (_, partition) => partition);
    return Promise.all(partitions.map((partition) => this.views(service, partition, names, consistency, context)));
  }

  private async readEverywhere(
    service: Service,
    homes: readonly CounterView[],
    { consistency }: ReadOptions,
    context: CallContext,
    readings: Map<string, Reading>,
  ): Promise<void> {
    const { clock } = this.services;
    let names = homes.map(({ name }) => name);
    for (let tries = 1; names.length > 0; tries++) {
      const atMs = clock.monotonicMs();
      const views = await this.viewsEverywhere(service, names, consistency, context);
      const again: string[] = [];
      names.forEach((name, i) => {
        const reading = sumOf(name, views.map((partition) => partition[i]));
        if (reading === undefined) again.push(name);
        else {
          readings.set(name, reading);
          if ('value' in reading) this.remember(service, name, { value: reading.value, atMs });
        }
      });
      names = again;
      if (names.length === 0) return;
      if (tries === TRIES) {
        for (const name of names) readings.set(name, { failure: moving(name) });
        return;
      }
      await delay(clock, TRY_AGAIN_MS);
    }
  }

  private valueAtHome({ name, kind, value, pendingAdds, pendingSinceMs }: CounterView): CounterValue {
    const pendingAge = pendingAdds === 0 ? undefined : toDuration(Math.max(0, this.services.clock.nowMs() - pendingSinceMs));
    return { counter: name, kind: toKind(kind), value, age: undefined, pendingAdds, pendingAge };
  }

  private remembered({ name: service }: Service, name: string, maxAgeMs: number): CounterValue | undefined {
    const sum = this.sums.get(`${service}/${name}`);
    if (sum === undefined) return undefined;
    const ageMs = this.services.clock.monotonicMs() - sum.atMs;
    return ageMs > maxAgeMs ? undefined : { ...sum.value, age: toDuration(ageMs) };
  }

  private remember({ name: service }: Service, name: string, sum: Sum): void {
    const key = `${service}/${name}`;
    this.sums.delete(key);
    if (this.sums.size >= MOST_SUMS) this.sums.delete(this.sums.keys().next().value!);
    this.sums.set(key, sum);
  }
}

/** Undefined: the partitions do not agree on the counter, or a slot is on its way (invariant C6). */
export function sumOf(name: string, views: readonly (CounterView | undefined)[]): Reading | undefined {
  const [first] = views;
  if (views.every((view) => view === undefined)) return { failure: { reason: 'COUNTER_NOT_FOUND', message: `there is no counter "${name}"`, metadata: { counter: name } } };
  if (first === undefined || views.some((view) => view?.id !== first.id)) return undefined;
  const value = first.kind === 'sharded' ? sumOfSlots(views as CounterView[]) : sumOfComponents(views as CounterView[]);
  if (value === undefined) return undefined;
  if (!isInt64(value)) return { failure: tooLarge(name, value) };
  return { value: { counter: name, kind: toKind(first.kind), value, age: undefined, pendingAdds: 0, pendingAge: undefined } };
}

function sumOfSlots(views: readonly CounterView[]): bigint | undefined {
  const newest: (Slot | undefined)[] = [];
  for (const { slots } of views) {
    for (const slot of slots) {
      const known = newest[slot.slot];
      // Of the same generation, one has taken the place of the other: that is what 'left' says.
      if (known === undefined || slot.generation > known.generation || (slot.generation === known.generation && known.state === 'left')) newest[slot.slot] = slot;
    }
  }
  let sum = 0n;
  for (let slot = 0; slot <= SLOTS; slot++) {
    const place = newest[slot];
    if (place === undefined || place.state === 'left') return undefined;
    sum += place.value;
  }
  return sum;
}

function sumOfComponents(views: readonly CounterView[]): bigint {
  let components: readonly Component[] = [];
  for (const view of views) components = mergeComponents(components, view.components);
  return valueOf(components);
}

/** What is thrown as a failure, as one: counters that are read together fail each by itself. */
async function failing<T>(reading: Promise<T>): Promise<T | { readonly failure: Failure }> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof FailureError) return { failure: error.failure };
    throw error;
  }
}

function append(map: Map<number, string[]>, partition: number, name: string): void {
  const names = map.get(partition);
  if (names === undefined) map.set(partition, [name]);
  else names.push(name);
}

export function notFound({ name: participant }: Service, name: string): Failure {
  return {
    reason: 'COUNTER_NOT_FOUND',
    message: `${participant} has no counter "${name}"; create it with CreateCounter`,
    metadata: { participant, counter: name },
  };
}

function moving(name: string): Failure {
  return {
    reason: 'COUNTER_CHANGING',
    message: `slots of counter "${name}" move, or it is being created or deleted, and could not be read at one time in ${TRIES} tries; try again`,
    metadata: { counter: name },
    retryAfterMs: 250,
  };
}

function tooLarge(name: string, value: bigint): Failure {
  return {
    reason: 'COUNTER_OVERFLOW',
    message: `counter "${name}" has ${value}, which is beyond 64 bits: what several clusters have counted together; count in larger units`,
    metadata: { counter: name, value: String(value) },
  };
}
