/** What follows from the history, for every checker of queues to look up. */

import { outcomesByWriter, type Outcome } from '../../checkers/outcomes-by-writer.ts';
import type { History } from '../../history.ts';
import { nameOfDelivery, type Delivery, type PublishedMessage, type StoredMessage } from '../history.ts';

/** Somebody acknowledges a message, directly or in a transaction. */
export interface Acknowledgement extends Delivery {
  readonly attempt: number;
  readonly startMs: number;
  /** From when on it is known to be acknowledged; Infinity: never. */
  readonly endMs: number;
  /** 'maybe': the answer never came. */
  readonly state: 'done' | 'maybe' | 'refused';
  /** Of the transaction; undefined: directly. */
  readonly writer: string | undefined;
}

export class Facts {
  readonly history: History;
  private readonly outcomes: ReadonlyMap<string, Outcome>;
  private readonly stored = new Map<string, StoredMessage>();
  private readonly acknowledgements = new Map<string, Acknowledgement[]>();

  constructor(history: History) {
    this.history = history;
    this.outcomes = outcomesByWriter(history);
    for (const message of history.queue.stored) this.stored.set(nameOfStored(message), message);
    for (const settlement of history.queue.settlements) {
      if (settlement.type !== 'acknowledge') continue;
      const state = settlement.state === 'asked' ? 'maybe' : settlement.state;
      this.add({ ...settlement, state, endMs: state === 'done' ? settlement.endMs : Infinity, writer: undefined });
    }
    for (const staged of history.queue.staged) {
      const { state, endMs } = this.outcomeOf(staged.writer);
      this.add({ ...staged, state, endMs });
    }
  }

  /** All acknowledgements of a message under one generation. */
  acknowledgementsOf(delivery: Delivery): readonly Acknowledgement[] {
    return this.acknowledgements.get(nameOfDelivery(delivery)) ?? [];
  }

  allAcknowledgements(): IterableIterator<readonly Acknowledgement[]> {
    return this.acknowledgements.values();
  }

  storedAt(topic: string, partition: number, position: number): StoredMessage | undefined {
    return this.stored.get(nameOfStored({ topic, partition, position }));
  }

  /** When it was known that a message is published; Infinity: never. */
  knownMs({ writer, endMs }: PublishedMessage): number {
    return writer === undefined ? endMs : this.outcomeOf(writer).endMs;
  }

  private outcomeOf(writer: string): { readonly state: Acknowledgement['state']; readonly endMs: number } {
    const found = this.outcomes.get(writer);
    if (found === undefined) return { state: 'maybe', endMs: Infinity };
    return found.outcome === 'committed' ? { state: 'done', endMs: found.atMs } : { state: 'refused', endMs: Infinity };
  }

  private add(acknowledgement: Acknowledgement): void {
    const name = nameOfDelivery(acknowledgement);
    const known = this.acknowledgements.get(name);
    if (known === undefined) this.acknowledgements.set(name, [acknowledgement]);
    else known.push(acknowledgement);
  }
}

const nameOfStored = ({ topic, partition, position }: Pick<StoredMessage, 'topic' | 'partition' | 'position'>): string =>
  `${topic}/${partition}/${position}`;
