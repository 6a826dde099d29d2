/** A transaction while its function runs: reads go out at once, everything else is collected. */

import type { Deadline } from './deadline.ts';
import { invalidRequest } from './errors.ts';
import type { Entry } from './entry.ts';
import { readKey, type Read } from './key-value.ts';
import { typedValue, type Content, type DeleteOptions, type Operation, type Precondition, type PutOptions, type Value } from './operations.ts';
import type { Rpc } from './rpc.ts';
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
  private readonly others: Operation[] = [];
  private readonly readsUnderWay = new Map<string, Promise<Read>>();
  private finished = false;

  constructor(rpc: Rpc, id: string, tries: number, deadline: Deadline) {
    this.rpc = rpc;
    this.id = id;
    this.tries = tries;
    this.deadline = deadline;
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

  /** Adds work for a participant that is not a key-value store. */
  operation(participant: string, routingKey: string, operation: Content): void {
    this.demandUnfinished();
    this.others.push({ participant, routingKey, operation });
  }

  /** Ends the collecting. Undefined: there is nothing to be carried out or validated. */
  finish(): Operation[] | undefined {
    this.finished = true;
    if (this.others.length === 0 && this.keys.isTrivial) return undefined;
    return [...this.keys.operations(), ...this.others];
  }

  /** Whether a refusal because of this key says that what was read has changed since. */
  hasRead(participant: string, collection: string, key: string): boolean {
    return this.keys.wasRead(participant, collection, key);
  }

  private demandUnfinished(): void {
    if (this.finished) throw invalidRequest(`transaction ${this.id} is over: await everything inside of its function`);
  }
}
