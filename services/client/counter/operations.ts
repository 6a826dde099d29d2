/** What a counter does as a part of transactions: builders for the operations that `execute` takes. */

import { AddOperation, CheckOperation } from '../../gen/txmesh/counter/v1/counter.ts';
import { encode } from '../../runtime/encode.ts';
import type { Operation } from '../operations.ts';
import { toInt64, type Integer } from './integer.ts';

/** The counter service that is meant where none is named. */
export const COUNTER = 'counter';

const TYPE = 'type.googleapis.com/txmesh.counter.v1.';
const ADD = `${TYPE}AddOperation`;
const CHECK = `${TYPE}CheckOperation`;

export interface CounterOperationOptions {
  /** The counter service. Default "counter". */
  readonly participant?: string;
}

/** Adds to a counter when the transaction commits. Transactions that only add don't wait for one another. */
export function add(counter: string, amount: Integer, { participant = COUNTER }: CounterOperationOptions = {}): Operation {
  const value = encode(AddOperation, { counter, amount: toInt64(amount, 'amount') });
  return { participant, routingKey: counter, operation: { typeUrl: ADD, value } };
}

/** Requires that a strong counter has a value. Waits for transactions that add, and they for it. */
export function checkCounter(counter: string, value: Integer, { participant = COUNTER }: CounterOperationOptions = {}): Operation {
  const encoded = encode(CheckOperation, { counter, value: toInt64(value, 'value') });
  return { participant, routingKey: counter, operation: { typeUrl: CHECK, value: encoded } };
}
