/** The counters of the simulated mesh, and where they are. */

import type { CounterKind, CreateOperation } from '../../../services/kernel/counter/types.ts';
import { homeOf } from '../../../services/kernel/counter/placement.ts';
import { PARTITIONS } from '../world/cluster.ts';

export const COUNTER = 'counter';

/**
 * What clients do with a counter. Every add to a ledger has a power of two of its own as amount, so
 * that any value tells exactly which adds it counts.
 */
export type Role = 'ledger' | 'bounded' | 'register';

export interface PlannedCounter {
  readonly name: string;
  readonly role: Role;
  readonly kind: CounterKind;
  readonly bounds: CreateOperation['bounds'];
  readonly opening: bigint;
  readonly shards: number;
}

const UNBOUNDED = { minimum: undefined, maximum: undefined };

const planned = (name: string, role: Role, kind: PlannedCounter['kind'], more: Partial<PlannedCounter> = {}): PlannedCounter => ({
  name,
  role,
  kind,
  bounds: UNBOUNDED,
  opening: 0n,
  shards: kind === 'sharded' ? 2 : 0,
  ...more,
});

const numbered = (count: number, make: (number: number) => PlannedCounter): PlannedCounter[] =>
  Array.from({ length: count }, (_, index) => make(index + 1));

/** What a bounded counter holds, and at the beginning. */
const TICKETS = { bounds: { minimum: 0n, maximum: 12n }, opening: 6n };

export const COUNTERS: readonly PlannedCounter[] = [
  ...numbered(4, (number) => planned(`sales-${number}`, 'ledger', 'strong')),
  ...numbered(3, (number) => planned(`visits-${number}`, 'ledger', 'sharded')),
  ...numbered(2, (number) => planned(`events-${number}`, 'ledger', 'queued')),
  ...numbered(2, (number) => planned(`likes-${number}`, 'ledger', 'replicated')),
  ...numbered(2, (number) => planned(`tickets-${number}`, 'bounded', 'strong', TICKETS)),
  ...numbered(2, (number) => planned(`level-${number}`, 'register', 'strong')),
];

export function countersOf(role: Role, kinds?: readonly CounterKind[]): readonly PlannedCounter[] {
  return COUNTERS.filter((counter) => counter.role === role && kinds?.includes(counter.kind) !== false);
}

export const homeOfCounter = ({ name }: { readonly name: string }): number => homeOf(name, PARTITIONS);

/** The same at every partition. @param number of the counter's creation */
export const creationOf = ({ name, kind, bounds, opening, shards }: PlannedCounter): CreateOperation => ({
  type: 'create',
  name,
  id: `id of ${name}`,
  kind,
  bounds,
  value: opening,
  shards,
});
