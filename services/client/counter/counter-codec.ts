/** Counters: between the SDK's types and the proto's. */

import {
  Consistency as WireConsistency,
  Kind as WireKind,
  type Bounds as WireBounds,
  type Counter as WireCounter,
  type CounterValue as WireValue,
  type GetRatesResponse,
  type Rate as WireRate,
} from '../../gen/txmesh/counter/v1/counter.ts';
import { durationMs, timestampMs } from '../../runtime/transport/time.ts';
import { nameOf } from '../outcome-codec.ts';
import { toInt64, type Integer } from './integer.ts';

/**
 * STRONG (the default): one value at one partition, which may have bounds. SHARDED: adds are spread over
 * shards, reads sum them. QUEUED: adds are logged and rolled up in the background. REPLICATED: each
 * partition of each cluster counts by itself, and they exchange their states.
 */
export type CounterKind = 'STRONG' | 'SHARDED' | 'QUEUED' | 'REPLICATED';

export interface Bounds {
  /** The value is never below it. */
  readonly minimum?: Integer;
  /** The value is never above it. */
  readonly maximum?: Integer;
}

/** A counter's configuration. */
export interface CounterInfo {
  readonly name: string;
  readonly kind: CounterKind;
  /** Of a strong counter that has any. */
  readonly bounds?: { readonly minimum?: bigint; readonly maximum?: bigint };
  /** Of a sharded counter. */
  readonly shards?: number;
  /** Of a sharded counter: slots that are still to move since its number of shards was changed. */
  readonly movingSlots?: number;
  readonly createTime?: Date;
}

export interface CounterValue {
  readonly counter: string;
  readonly kind: CounterKind;
  readonly value: bigint;
  /** Of an eventual read of a sharded or replicated counter: how old the value is, milliseconds. */
  readonly ageMs?: number;
  /** Of a queued counter: how many adds are not in the value yet. */
  readonly pendingAdds: number;
  /** Of a queued counter: how long ago the oldest of these was made, milliseconds. */
  readonly pendingAgeMs?: number;
}

/** What was added within a time. */
export interface Rate {
  /** The length of the time, up to now, milliseconds. */
  readonly windowMs: number;
  /** The sum of the amounts. The window's beginning is exact to its 60th part: for a day to 24 minutes. */
  readonly added: bigint;
  /** How many adds that were. */
  readonly adds: number;
  /** `added` per second of the window. */
  readonly perSecond: number;
}

/** `linearizable`, the default, or `eventual`: at once and without waiting, maybe a little old. */
export type CounterConsistency = 'linearizable' | 'eventual';

export function wireKind(kind: CounterKind | undefined): WireKind {
  return WireKind[kind ?? 'STRONG'];
}

export function wireConsistency(consistency: CounterConsistency | undefined): WireConsistency {
  switch (consistency) {
    case undefined:
      return WireConsistency.UNSPECIFIED;
    case 'linearizable':
      return WireConsistency.LINEARIZABLE;
    case 'eventual':
      return WireConsistency.EVENTUAL;
  }
}

export function wireBounds(bounds: Bounds | undefined): WireBounds | undefined {
  if (bounds === undefined) return undefined;
  const { minimum, maximum } = bounds;
  return {
    minimum: minimum === undefined ? undefined : toInt64(minimum, 'bounds.minimum'),
    maximum: maximum === undefined ? undefined : toInt64(maximum, 'bounds.maximum'),
  };
}

export function counterFrom({ counter, kind, bounds, shards, movingSlots, createTime }: WireCounter): CounterInfo {
  return {
    name: counter,
    kind: nameOf(WireKind, kind),
    ...(bounds && { bounds }),
    ...(shards > 0 && { shards, movingSlots }),
    ...(createTime && { createTime: new Date(timestampMs(createTime)) }),
  };
}

export function valueFrom({ counter, kind, value, age, pendingAdds, pendingAge }: WireValue): CounterValue {
  return {
    counter,
    kind: nameOf(WireKind, kind),
    value,
    ...(age && { ageMs: durationMs(age) }),
    pendingAdds,
    ...(pendingAge && { pendingAgeMs: durationMs(pendingAge) }),
  };
}

export function ratesFrom({ minute, hour, day }: GetRatesResponse): { readonly minute: Rate; readonly hour: Rate; readonly day: Rate } {
  return { minute: rateFrom(minute!), hour: rateFrom(hour!), day: rateFrom(day!) };
}

function rateFrom({ window, added, adds, perSecond }: WireRate): Rate {
  return { windowMs: window === undefined ? 0 : durationMs(window), added, adds, perSecond };
}
