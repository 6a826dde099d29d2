/** What replicas ask of one another about a partition, and what handlers and the kernel take. */

import { Consistency, Kind } from '../gen/txmesh/counter/v1/counter.ts';
import type {
  AskPartitionResponse,
  InstalledSlot,
  PartitionAdd,
  PartitionAdds,
  PartitionMerge,
  PartitionOutcome,
  PartitionView,
} from '../gen/txmesh/counter/v1/counter_partition.ts';
import type { ReplicatedState as StateMessage } from '../gen/txmesh/counter/v1/counter.ts';
import type {
  AddOutcome,
  AddsRequest,
  Component,
  CounterKind,
  CounterView,
  Layout,
  MovingSlot,
  RateWindow,
  ReplicatedState,
} from '../kernel/counter/types.ts';
import { failureToStatus, statusToFailure } from '../runtime/errors/status.ts';
import { toDuration } from '../runtime/transport/time.ts';
import { fromRecord, toRecord } from './codec-counter.ts';
import { fromGroup, toGroup } from './codec-tokens.ts';

const KINDS = { strong: Kind.STRONG, sharded: Kind.SHARDED, queued: Kind.QUEUED, replicated: Kind.REPLICATED } as const;
const KIND_NAMES = new Map<Kind, CounterKind>(Object.entries(KINDS).map(([name, kind]) => [kind, name as CounterKind]));

export function toKind(kind: CounterKind): Kind {
  return KINDS[kind];
}

/** Undefined: it is none. */
export function fromKind(kind: Kind): CounterKind | undefined {
  return KIND_NAMES.get(kind);
}

export function toConsistency(linearizable: boolean): Consistency {
  return linearizable ? Consistency.LINEARIZABLE : Consistency.EVENTUAL;
}

export function isLinearizable(consistency: Consistency): boolean {
  return consistency !== Consistency.EVENTUAL;
}

export function toAdds({ session, settledBelow, names, adds }: AddsRequest): PartitionAdds {
  return { session, settledBelow, names: [...names], adds: adds.map((add): PartitionAdd => ({ ...add })) };
}

export function fromAdds({ session, settledBelow, names, adds }: PartitionAdds): AddsRequest {
  return { type: 'add', session, settledBelow, names, adds };
}

export function toOutcome(outcome: AddOutcome): PartitionOutcome {
  switch (outcome.type) {
    case 'counted':
      return { value: outcome.value, error: undefined, elsewhere: false, layout: undefined };
    case 'failed':
      return { value: undefined, error: failureToStatus(outcome.failure), elsewhere: false, layout: undefined };
    case 'elsewhere': {
      const { layout } = outcome;
      const message = layout && { kind: toKind(layout.kind), shards: layout.shards, previousShards: layout.previousShards };
      return { value: undefined, error: undefined, elsewhere: true, layout: message };
    }
  }
}

export function fromOutcome({ value, error, elsewhere, layout }: PartitionOutcome): AddOutcome {
  if (error !== undefined) return { type: 'failed', failure: statusToFailure(error) };
  if (!elsewhere) return { type: 'counted', check: 0, value };
  const kind = layout && fromKind(layout.kind);
  return { type: 'elsewhere', layout: kind && layoutOf(kind, layout!) };
}

function layoutOf(kind: CounterKind, { shards, previousShards }: { readonly shards: number; readonly previousShards: number }): Layout {
  return { kind, shards, previousShards };
}

const NO_RATES = { seconds: [], minutes: [], hours: [] };

export function toView(name: string, view: CounterView | undefined): PartitionView {
  if (view === undefined) return { name, counter: undefined, pendingAdds: 0, pendingSinceMs: 0 };
  const { pendingAdds, pendingSinceMs, ...record } = view;
  return { name, counter: toRecord({ ...record, type: 'counter', rates: NO_RATES }), pendingAdds, pendingSinceMs };
}

export function fromView({ name, counter, pendingAdds, pendingSinceMs }: PartitionView): CounterView | undefined {
  return counter && { ...fromRecord(counter), name, pendingAdds, pendingSinceMs };
}

export function toRate({ windowMs, added, adds }: RateWindow) {
  return { window: toDuration(windowMs), added, adds, perSecond: (Number(added) * 1000) / windowMs };
}

export function toSlot({ name, id, slot, generation, value, floor, tokens }: MovingSlot): InstalledSlot {
  return { name: { name, id, slot }, generation, value, floor, tokens: tokens.map((group) => toGroup(group, 0)) };
}

/** Of a slot whose name is set. */
export function fromSlot({ name, generation, value, floor, tokens }: InstalledSlot): MovingSlot {
  const { name: counter, id, slot } = name!;
  return { name: counter, id, slot, generation, value, floor, tokens: tokens.map((group) => fromGroup(group, '')) };
}

export function toState({ name, components }: ReplicatedState): StateMessage {
  return { counter: name, components: components.map((component) => ({ ...component })) };
}

export function fromState({ counter, components }: StateMessage): ReplicatedState {
  return { name: counter, components: components satisfies readonly Component[] };
}

export function fromMerge({ states, relay }: PartitionMerge): { readonly states: readonly ReplicatedState[]; readonly relay: boolean } {
  return { states: states.map(fromState), relay };
}

type Answer = NonNullable<AskPartitionResponse['answer']>;

/** What answers each question. */
export type Answers = { readonly [A in Answer as A['$case']]: A['value'] };

/** The answer of this case. @throws Error for another one, or none. */
export function answerOf<Case extends keyof Answers>({ answer }: AskPartitionResponse, expected: Case): Answers[Case] {
  if (answer?.$case !== expected) throw new Error(`a partition answered ${answer?.$case} instead of ${expected}`);
  return answer.value as Answers[Case];
}
