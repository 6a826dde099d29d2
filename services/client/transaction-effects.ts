/** What a transaction's function does beside keys: messages, acknowledgements, counters, work for others. */

import type { Message as WireMessage } from '../gen/txmesh/queue/v1/queue.ts';
import { add } from './counter/operations.ts';
import type { Operation } from './operations.ts';
import { acknowledge, publishOperation } from './queue/operations.ts';
import type { ReceivedMessage } from './queue/received-message.ts';

interface Publish {
  readonly participant: string;
  readonly topic: string;
  readonly message: WireMessage;
}

interface Add {
  readonly participant: string;
  readonly counter: string;
  amount: bigint;
}

export class TransactionEffects {
  private readonly transactionId: string;
  private readonly publishes: Publish[] = [];
  private readonly acknowledged = new Set<ReceivedMessage>();
  /** One for each counter: what counts is their sum. */
  private readonly adds = new Map<string, Add>();
  private readonly others: Operation[] = [];

  constructor(transactionId: string) {
    this.transactionId = transactionId;
  }

  publish(participant: string, topic: string, message: WireMessage): void {
    this.publishes.push({ participant, topic, message });
  }

  acknowledge(message: ReceivedMessage): void {
    this.acknowledged.add(message);
  }

  add(participant: string, counter: string, amount: bigint): void {
    const name = `${participant}\n${counter}`;
    const known = this.adds.get(name);
    if (known === undefined) this.adds.set(name, { participant, counter, amount });
    else known.amount += amount;
  }

  operation(operation: Operation): void {
    this.others.push(operation);
  }

  get isEmpty(): boolean {
    return this.publishes.length + this.acknowledged.size + this.adds.size + this.others.length === 0;
  }

  operations(): Operation[] {
    const acknowledges = [...this.acknowledged].map(acknowledge);
    return [
      ...acknowledges,
      ...this.publishes.map(({ participant, topic, message }) => {
        // A message that may lie anywhere goes to where one is acknowledged: one branch less.
        const beside = acknowledges.find((other) => other.participant === participant);
        return publishOperation(participant, topic, message, beside?.routingKey ?? this.transactionId);
      }),
      ...[...this.adds.values()].map(({ participant, counter, amount }) => add(counter, amount, { participant })),
      ...this.others,
    ];
  }

  /** The transaction has committed. */
  committed(): void {
    for (const message of this.acknowledged) message.committed();
  }
}
