/** What counters do outside of transactions; see {@link CounterRequest}. */

import type { Cost, Origin } from '../kernel.ts';
import type { ResourceContext, ResourceRequests } from '../participant/resource.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Adds } from './adds.ts';
import type { CounterCache } from './cache.ts';
import { COMPONENT_BYTES, LARGEST_NEW_BYTES } from './entry.ts';
import { EVENT_ADDS_BYTES, type EventLog } from './events.ts';
import { tooManyComponents } from './failures.ts';
import { counterKey } from './keys.ts';
import { SLOTS } from './placement.ts';
import { compareComponents, mergeComponents } from './replicated.ts';
import type { Slots } from './slots.ts';
import {
  type AddsRequest,
  type CounterRequest,
  type CounterSettings,
  type CounterTypes,
  LIMITS,
  type MovingSlot,
  type ReplicatedState,
  type TokenResult,
} from './types.ts';

const NOTHING: readonly string[] = [];
/** A token record's frame around the groups of a slot. */
const SLOT_GROUP_BYTES = 72;
const SLOT_FRAME_BYTES = 2_048;

export interface RequestParts {
  readonly settings: CounterSettings;
  readonly counters: CounterCache;
  readonly sessions: Sessions<TokenResult>;
  readonly events: EventLog;
  readonly adds: Adds;
  readonly slots: Slots;
  /** News of a replicated counter are to be told to others. */
  tell(name: string): void;
}

export class CounterRequests implements ResourceRequests<CounterTypes> {
  private readonly parts: RequestParts;
  private rollingUp = false;

  constructor(parts: RequestParts) {
    this.parts = parts;
  }

  missing(request: CounterRequest): readonly string[] {
    let missing: string[] | undefined;
    for (const name of this.namesOf(request)) if (!this.parts.counters.has(name)) (missing ??= []).push(counterKey(name));
    return missing ?? NOTHING;
  }

  cost(request: CounterRequest): Cost {
    switch (request.type) {
      case 'add':
        return this.addsCost(request);
      case 'install':
        return this.installCost(request.slot);
      case 'freeze':
      case 'release':
        // The counter, and the mark that it has slots to move; the scope's tokens are dropped.
        return { operations: 2, bytes: 2 * this.recordBytes(request.name) + SLOT_FRAME_BYTES };
      case 'merge': {
        let bytes = 0;
        for (const { name, components } of request.states) bytes += this.recordBytes(name) + components.length * COMPONENT_BYTES;
        return { operations: request.states.length, bytes };
      }
      case 'rollUp': {
        let operations = 1;
        let bytes = 200;
        for (const name of this.parts.events.names()) {
          operations++;
          bytes += this.recordBytes(name);
        }
        return { operations, bytes };
      }
    }
  }

  serve(request: CounterRequest, origin: Origin, context: ResourceContext<CounterTypes>): void {
    const { adds, slots } = this.parts;
    switch (request.type) {
      case 'add':
        return adds.serve(request, origin, context);
      case 'freeze':
        return context.respond(origin, { type: 'frozen', slot: slots.freeze(request) });
      case 'install':
        return context.respond(origin, { type: 'installed', known: slots.install(request.slot, context.nowMs) });
      case 'release':
        slots.release(request, request.generation, context.out);
        return context.respond(origin, { type: 'released' });
      case 'merge':
        return this.mergeAll(request.states, request.relay, origin, context);
      case 'rollUp':
        return this.rollUp(context);
    }
  }

  /** Nobody is kept waiting. */
  cancel(): void {}

  retire(): void {}

  conclude(): void {}

  wakeAtMs(): number | undefined {
    const { sessions } = this.parts;
    const collectMs = sessions.collectDueMs ?? Infinity;
    const atMs = Math.min(collectMs, this.rollingUp ? Infinity : this.rollUpAtMs);
    return atMs === Infinity ? undefined : atMs;
  }

  onDue(context: ResourceContext<CounterTypes>): void {
    const { sessions } = this.parts;
    if ((sessions.collectDueMs ?? Infinity) <= context.nowMs) sessions.collect(context.nowMs);
    if (this.rollingUp || this.rollUpAtMs > context.nowMs) return;
    this.rollingUp = true;
    context.follow({ type: 'rollUp' });
  }

  get dueCost(): Cost {
    return { operations: 0, bytes: this.parts.sessions.collectBytes };
  }

  /** Many events are rolled up at once, whatever a clock that was set back says of their age. */
  private get rollUpAtMs(): number {
    const { events, settings } = this.parts;
    return events.recordCount > settings.maxEvents / 2 ? 0 : (events.oldestMs ?? Infinity) + settings.rollUpMs;
  }

  private rollUp(context: ResourceContext<CounterTypes>): void {
    const { counters, events } = this.parts;
    for (const { timeMs, adds } of events.take(context.out)) {
      for (const { name, id, amount, adds: count } of adds) {
        const entry = counters.get(name);
        // What was added to a counter that is deleted went with it.
        if (entry?.id !== id) continue;
        entry.value += amount;
        entry.rates.add(amount, count, timeMs);
        counters.touch(entry);
      }
    }
    this.rollingUp = this.rollUpAtMs <= context.nowMs;
    if (this.rollingUp) context.follow({ type: 'rollUp' });
  }

  /** All or, where one would have too many components, none. */
  private mergeAll(states: readonly ReplicatedState[], relay: boolean, origin: Origin, context: ResourceContext<CounterTypes>): void {
    const { counters, tell } = this.parts;
    const merged = states.map(({ name, components }) => {
      const entry = counters.get(name);
      return entry?.kind === 'replicated' ? mergeComponents(entry.components, components.toSorted(compareComponents)) : undefined;
    });
    for (let i = 0; i < states.length; i++) {
      if ((merged[i]?.length ?? 0) > LIMITS.components) return context.fail(origin, tooManyComponents(states[i]!.name));
    }
    const known = states.map(({ name }, i): ReplicatedState | undefined => {
      const components = merged[i];
      if (components === undefined) return undefined;
      const entry = counters.get(name)!;
      if (components !== entry.components) {
        entry.components = components;
        counters.touch(entry);
        if (relay) tell(name);
      }
      return { name, components };
    });
    context.respond(origin, { type: 'merged', states: known });
  }

  private *namesOf(request: CounterRequest): Iterable<string> {
    switch (request.type) {
      case 'add':
        yield* request.names;
        return;
      case 'freeze':
      case 'release':
        yield request.name;
        return;
      case 'install':
        yield request.slot.name;
        return;
      case 'merge':
        for (const { name } of request.states) yield name;
        return;
      case 'rollUp':
        yield* this.parts.events.names();
    }
  }

  private addsCost({ names, adds }: AddsRequest): Cost {
    const { counters, sessions } = this.parts;
    let operations = 0;
    let bytes = adds.length * sessions.tokenBytes;
    let scopes = 1;
    for (const name of names) {
      const entry = counters.get(name);
      if (entry === undefined) continue;
      if (entry.kind === 'queued') bytes += EVENT_ADDS_BYTES;
      if (entry.kind === 'sharded') scopes += SLOTS;
      if (entry.touched) continue;
      operations++;
      bytes += entry.recordBytes;
    }
    return { operations, bytes: bytes + Math.min(scopes, adds.length) * sessions.groupBytes };
  }

  private installCost({ name, tokens }: MovingSlot): Cost {
    let bytes = this.recordBytes(name) + SLOT_FRAME_BYTES;
    for (const { sequences } of tokens) bytes += SLOT_GROUP_BYTES + sequences.length * this.parts.sessions.tokenBytes;
    return { operations: 1, bytes };
  }

  private recordBytes(name: string): number {
    return this.parts.counters.get(name)?.recordBytes ?? LARGEST_NEW_BYTES;
  }
}
