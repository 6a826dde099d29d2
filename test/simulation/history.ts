/** What clients did and were told, with true times, and what became durable. All that checkers see. */

import { CounterHistory } from './counter/history.ts';
import { QueueHistory, type PublishedMessage } from './queue/history.ts';
import { nameOf, type Place } from './keys/places.ts';

export type Settled = 'committed' | 'aborted';

export interface Write {
  readonly place: Place;
  /** Different for every transaction and content, the same for every copy of a request. */
  readonly value: Uint8Array;
}

export interface ValidatedRead {
  readonly place: Place;
  readonly version: number;
}

/** One content of a transaction. An id that was used for two contents has two of them. */
export interface Content {
  readonly id: string;
  readonly variant: number;
  readonly kind: 'execute' | 'interactive' | 'local';
  readonly startMs: number;
  readonly writes: Write[];
  readonly reads: ValidatedRead[];
  readonly publishes: PublishedMessage[];
}

/** An outcome as a client heard it; the variant where the question names the content. */
export interface Told {
  readonly id: string;
  readonly variant: number | undefined;
  readonly outcome: Settled;
  readonly atMs: number;
}

export interface SingleRead {
  readonly name: string;
  readonly consistency: 'linearizable' | 'eventual';
  readonly startMs: number;
  readonly endMs: number;
  readonly version: number;
  /** Undefined: absent. */
  readonly value: string | undefined;
}

/** A version of a key, as it stood in the store. */
export interface Version {
  readonly version: number;
  readonly value: string;
  readonly atMs: number;
}

export const keyOf = (id: string, variant: number): string => `${id}#${variant}`;

export class History {
  readonly counters = new CounterHistory();
  readonly queue = new QueueHistory();
  readonly contents = new Map<string, Content>();
  readonly told: Told[] = [];
  readonly reads: SingleRead[] = [];
  /** Ids that an operator has resolved by force: their branches may end differently. */
  readonly forced = new Set<string>();
  /** Versions of each key in the order in which they became durable. */
  readonly versions = new Map<string, Version[]>();

  /** Versions that were replaced in the batch that wrote them, so that nobody knows who wrote them. */
  private readonly hidden = new Map<string, Set<number>>();

  hide(name: string, version: number): void {
    const hidden = this.hidden.get(name);
    if (hidden === undefined) this.hidden.set(name, new Set([version]));
    else hidden.add(version);
  }

  isHidden(name: string, version: number): boolean {
    return this.hidden.get(name)?.has(version) === true;
  }

  /** Whether any version of the key is without a known writer. */
  hides(name: string): boolean {
    return this.hidden.has(name);
  }

  settle(id: string, variant: number | undefined, outcome: Settled, atMs: number): void {
    this.told.push({ id, variant, outcome, atMs });
  }

  /** The contents that an id was used for. */
  variantsOf(id: string): number[] {
    return [0, 1].filter((variant) => this.contents.has(keyOf(id, variant)));
  }

  versionsOf(name: string): readonly Version[] {
    return this.versions.get(name) ?? [];
  }
}

/** A value says who wrote it, so that what is read or stored can be traced to its transaction. */
export function encodeValue(writer: string, balance: number | undefined): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ writer, balance }));
}

export interface Value {
  readonly writer: string;
  readonly balance?: number;
}

export function decodeValue(text: string): Value {
  return JSON.parse(text) as Value;
}

/** Name of the transaction's content in a value: see {@link keyOf}. */
export const writerOf = (text: string): string => decodeValue(text).writer;

export { nameOf };
