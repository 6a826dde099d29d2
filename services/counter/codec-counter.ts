/** Counter records and effects, and their messages (proto/txmesh/record/v1/counter_record.proto). */

import {
  type CounterChange as ChangeMessage,
  type CounterEventAdds,
  type CounterRateBucket,
  type CounterRecord as CounterMessage,
  CounterRecordKind as Kind,
  type CounterSlot,
  CounterSlot_State as SlotState,
} from '../gen/txmesh/record/v1/counter_record.ts';
import type { ParticipantRecord } from '../gen/txmesh/record/v1/participant_record.ts';
import type {
  CounterChange,
  CounterEffect,
  CounterKind,
  CounterRecord,
  CounterStored,
  QueuedAdds,
  Slot,
} from '../kernel/counter/types.ts';
import type { EffectCodec } from '../runtime/participant/codec-protocol.ts';
import { fromTokens, toTokens } from './codec-tokens.ts';

type RecordMessage = NonNullable<ParticipantRecord['record']>;

const KINDS = { strong: Kind.STRONG, sharded: Kind.SHARDED, queued: Kind.QUEUED, replicated: Kind.REPLICATED } as const;
const KIND_NAMES = new Map<Kind, CounterKind>(Object.entries(KINDS).map(([name, kind]) => [kind, name as CounterKind]));
const SLOT_STATES = { here: SlotState.HERE, frozen: SlotState.FROZEN, left: SlotState.LEFT } as const;
const SLOT_STATE_NAMES = new Map<SlotState, Slot['state']>(Object.entries(SLOT_STATES).map(([name, state]) => [state, name as Slot['state']]));

/** @throws Error for what no version has written. */
function known<K, V>(names: ReadonlyMap<K, V>, value: K, what: string): V {
  const name = names.get(value);
  if (name === undefined) throw new Error(`a counter record has ${what} ${String(value)}, which this version of txmesh does not know`);
  return name;
}

export const counterEffects: EffectCodec<CounterEffect> = {
  toMessage: ({ changes }) => ({ $case: 'counter', value: { changes: changes.map(toChange) } }),
  fromMessage: (message) => {
    if (message.$case !== 'counter') throw new Error(`an effect of kind ${message.$case} is none of a counter's`);
    return { changes: message.value.changes.map(fromChange) };
  },
};

export function counterToMessage(record: CounterStored): RecordMessage {
  switch (record.type) {
    case 'counter':
      return { $case: 'counter', value: toRecord(record) };
    case 'event':
      return { $case: 'counterEvent', value: { timeMs: record.timeMs, adds: record.adds.map((adds): CounterEventAdds => ({ ...adds })) } };
    case 'moving':
      return { $case: 'counterMoving', value: { id: record.id } };
    case 'replica':
      return { $case: 'counterReplica', value: {} };
    case 'tokens':
      return { $case: 'counterTokens', value: toTokens(record) };
  }
}

export function counterFromMessage(message: ParticipantRecord['record']): CounterStored | undefined {
  switch (message?.$case) {
    case 'counter':
      return fromRecord(message.value);
    case 'counterEvent':
      return { type: 'event', timeMs: message.value.timeMs, adds: message.value.adds satisfies QueuedAdds[] };
    case 'counterMoving':
      return { type: 'moving', id: message.value.id };
    case 'counterReplica':
      return { type: 'replica' };
    case 'counterTokens':
      return fromTokens(message.value);
    default:
      return undefined;
  }
}

export function toRecord({ kind, bounds, slots, components, rates, ...rest }: CounterRecord): CounterMessage {
  const { id, createMs, value, shards, previousShards } = rest;
  return {
    kind: KINDS[kind],
    id,
    createMs,
    ...bounds,
    value,
    shards,
    previousShards,
    slots: slots.map((slot): CounterSlot => ({ ...slot, state: SLOT_STATES[slot.state] })),
    components: components.map((component) => ({ ...component })),
    // Encoded at once, and not kept.
    seconds: rates.seconds as CounterRateBucket[],
    minutes: rates.minutes as CounterRateBucket[],
    hours: rates.hours as CounterRateBucket[],
  };
}

export function fromRecord(message: CounterMessage): CounterRecord {
  const { id, createMs, minimum, maximum, value, shards, previousShards, components, seconds, minutes, hours } = message;
  return {
    type: 'counter',
    kind: known(KIND_NAMES, message.kind, 'kind'),
    id,
    createMs,
    bounds: { minimum, maximum },
    value,
    shards,
    previousShards,
    slots: message.slots.map((slot): Slot => ({ ...slot, state: known(SLOT_STATE_NAMES, slot.state, 'slot state') })),
    components,
    rates: { seconds, minutes, hours },
  };
}

function toChange(change: CounterChange): ChangeMessage {
  const { name } = change;
  const of = (message: ChangeMessage['change'], exclusive = false): ChangeMessage => ({ name, change: message, exclusive });
  switch (change.type) {
    case 'add':
      return of({ $case: 'add', value: change.amount }, change.exclusive);
    case 'check':
      return of({ $case: 'check', value: true });
    case 'set':
      return of({ $case: 'set', value: change.value });
    case 'create': {
      const { kind, id, createMs, bounds, value, shards } = change;
      return of({ $case: 'create', value: { kind: KINDS[kind], id, createMs, ...bounds, value, shards } });
    }
    case 'update':
      return of({
        $case: 'update',
        value: { bounded: change.bounds !== undefined, minimum: change.bounds?.minimum, maximum: change.bounds?.maximum, shards: change.shards },
      });
    case 'delete':
      return of({ $case: 'delete', value: true });
  }
}

function fromChange({ name, change, exclusive }: ChangeMessage): CounterChange {
  switch (change?.$case) {
    case 'add':
      return { type: 'add', name, amount: change.value, exclusive };
    case 'check':
      return { type: 'check', name };
    case 'set':
      return { type: 'set', name, value: change.value };
    case 'create': {
      const { kind, id, createMs, minimum, maximum, value, shards } = change.value;
      return { type: 'create', name, kind: known(KIND_NAMES, kind, 'kind'), id, createMs, bounds: { minimum, maximum }, value, shards };
    }
    case 'update': {
      const { bounded, minimum, maximum, shards } = change.value;
      return { type: 'update', name, bounds: bounded ? { minimum, maximum } : undefined, shards };
    }
    case 'delete':
      return { type: 'delete', name };
    case undefined:
      throw new Error(`a prepared change of counter "${name}" is of a kind that this version of txmesh does not know`);
  }
}
