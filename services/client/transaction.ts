/** A transaction while its function runs: reads go out at once, everything else is collected. */

import { toInt64, type Integer } from './counter/integer.ts';
import { checkCounter, COUNTER, type CounterOperationOptions } from './counter/operations.ts';
import type { Deadline } from './deadline.ts';
import { invalidRequest } from './errors.ts';
import type { Entry } from './entry.ts';
import { readKey, type Read } from './key-value.ts';
import { typedValue, type Content, type DeleteOptions, type Operation, type Precondition, type PutOptions, type Value } from './operations.ts';
import { QUEUE, type MessageLike } from './queue/message.ts';
import { tracedMessage, type QueueOperationOptions } from './queue/operations.ts';
import type { ReceivedMessage } from './queue/received-message.ts';
import type { Rpc } from './rpc.ts';
import { TransactionEffects } from './transaction-effects.ts';
import { TransactionKeys } from './transaction-keys.ts';

/** What the function of `mesh.transaction` works with. It is of no use after the function has returned. */
export class Transaction {
  /** The id of this try, a UUIDv7. Every try has another. */
  readonly id: string;
  /** 1 for the first try. */
  readonly tries: number;
  private readonly rpc: Rpc;
  private readonly deadline: Deadline;
  private readonly keys = new TransactionKeys();
  private readonly effects: TransactionEffects;
  private readonly readsUnderWay = new Map<string, Promise<Read>>();
  private finished = false;

  constructor(rpc: Rpc, id: string, tries: number, deadline: Deadline) {
    this.rpc = rpc;
    this.id = id;
    this.tries = tries;
    this.deadline = deadline;
    this.effects = new TransactionEffects(id);
  }

  /**
   * The key, or undefined if it is absent: as this transaction wrote it, else as it was when first
   * read. When the transaction commits, it must still be so, or the function runs again.
   */
  async get(participant: string, collection: string, key: string): Promise<Entry | undefined> {
    this.demandUnfinished();
    const seen = this.keys.see(participant, collection, key);
    if (seen.known) return seen.entry;
    const name = JSON.stringify([participant, collection, key]);
    let read = this.readsUnderWay.get(name);
    if (read === undefined) {
      read = readKey(this.rpc, participant, collection, key, this.deadline.options);
      this.readsUnderWay.set(name, read);
    }
    const found = await read.finally(() => this.readsUnderWay.delete(name));
    this.demandUnfinished();
    return this.keys.addRead(participant, collection, key, found);
  }

  /** Writes a key when the transaction commits. The last put or delete of a key counts. */
  put(participant: string, collection: string, key: string, value: Value, options: PutOptions = {}): void {
    this.demandUnfinished();
    this.keys.put(participant, collection, key, typedValue(value), options);
  }

  /** Deletes a key when the transaction commits. */
  delete(participant: string, collection: string, key: string, options: DeleteOptions = {}): void {
    this.demandUnfinished();
    this.keys.delete(participant, collection, key, options);
  }

  /** Requires something of a key without writing it. If it does not hold, the transaction is aborted for good. */
  check(participant: string, collection: string, key: string, precondition: Precondition): void {
    this.demandUnfinished();
    this.keys.check(participant, collection, key, precondition);
  }

  /** Adds work for a participant of your own. */
  operation(participant: string, routingKey: string, operation: Content): void {
    this.demandUnfinished();
    this.effects.operation({ participant, routingKey, operation });
  }

  /**
   * Publishes a message when the transaction commits; nobody sees it before. With an ordering key,
   * messages have the order in which their transactions commit. The topic has to be one on disk.
   */
  publish(topic: string, message: MessageLike, { participant = QUEUE }: QueueOperationOptions = {}): void {
    this.demandUnfinished();
    this.effects.publish(participant, topic, tracedMessage(topic, message));
  }

  /**
   * Acknowledges a message when the transaction commits, which it can't if somebody else has
   * acknowledged it. The handler of `subscribe` need not do this.
   */
  acknowledge(message: ReceivedMessage): void {
    this.demandUnfinished();
    this.effects.acknowledge(message);
  }

  /**
   * Adds to a counter when the transaction commits. Several adds to one counter count as their sum. If
   * it would pass the counter's bounds, the transaction is aborted.
   */
  add(counter: string, amount: Integer, { participant = COUNTER }: CounterOperationOptions = {}): void {
    this.demandUnfinished();
    this.effects.add(participant, counter, toInt64(amount, 'amount'));
  }

  /**
   * Requires that a strong counter has a value when the transaction commits. If it has another, the
   * transaction is aborted for good.
   */
  checkCounter(counter: string, value: Integer, options: CounterOperationOptions = {}): void {
    this.demandUnfinished();
    this.effects.operation(checkCounter(counter, value, options));
  }

  /** @internal Whether there is nothing to be carried out or validated. */
  get isTrivial(): boolean {
    return this.effects.isEmpty && this.keys.isTrivial;
  }

  /** @internal Ends the collecting. Undefined: there is nothing to be carried out or validated. */
  finish(): Operation[] | undefined {
    this.finished = true;
    return this.isTrivial ? undefined : [...this.keys.operations(), ...this.effects.operations()];
  }

  /** @internal It has committed. */
  committed(): void {
    this.effects.committed();
  }

  /** @internal Whether a refusal because of this key says that what was read has changed since. */
  hasRead(participant: string, collection: string, key: string): boolean {
    return this.keys.wasRead(participant, collection, key);
  }

  private demandUnfinished(): void {
    if (this.finished) throw invalidRequest(`transaction ${this.id} is over: await everything inside of its function`);
  }
}
