import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as grpc from '@grpc/grpc-js';
import { ConflictDetail } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { CoordinatorServiceService as coordinator, type ExecuteResponse, Mode, State } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type { RoutedOperation } from '../../runtime/participant/transactions.ts';
import { ABSENT, failureOf, newId, putOp, startMesh, type Meshed } from '../../runtime/router/testing/nodes.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { transactionsOf } from './run.ts';

let mesh: Meshed;

beforeAll(async () => {
  mesh = await startMesh({ partitions: 2 });
});
afterAll(() => mesh.close());

const context: CallContext = {
  signal: new AbortController().signal,
  deadlineMs: Infinity,
  traceparent: undefined,
  forwarded: false,
  peer: 'test',
  metadata: new grpc.Metadata(),
};
const puts = (key: string): RoutedOperation[] =>
  ['inventory', 'payments'].map((participant) => {
    const { operation, ...routed } = putOp(participant, key, '1', ABSENT);
    return { ...routed, operation: operation! };
  });

describe('a transaction that handlers run', () => {
  const { execute } = transactionsOf({ execute: (request) => mesh.call(coordinator.execute, request) });

  test('is committed, and again under the same id', async () => {
    const transaction = { transactionId: newId(), operations: puts('a'), timeoutMs: 5_000 };
    expect(await execute(transaction, context)).toBeUndefined();
    expect(await execute(transaction, context)).toBeUndefined();
  });

  test('is aborted with the cause and its details', async () => {
    await execute({ transactionId: newId(), operations: puts('b') }, context);
    const failure = await execute({ transactionId: newId(), operations: puts('b') }, context);
    expect(failure!.reason).toBe('PRECONDITION_FAILED');
    expect(ConflictDetail.decode(failure!.detail!.value).key).toBe('b');
  });

  test('is refused with what is wrong with it', async () => {
    expect((await failureOf(execute({ transactionId: 'no id', operations: puts('c') }, context))).reason).toBe('INVALID_FIELD');
  });
});

test('an answer without an outcome is none (T4)', async () => {
  const answer = (state: State): ExecuteResponse => ({
    transaction: { transactionId: '', state, mode: Mode.UNSPECIFIED, attempt: undefined, branches: [], cause: undefined, decideTime: undefined, mixed: false },
  });
  const run = (response: ExecuteResponse) => transactionsOf({ execute: async () => response }).execute({ transactionId: newId(), operations: [] }, context);
  for (const state of [State.UNSPECIFIED, State.ACTIVE, State.PREPARING])
    expect((await failureOf(run(answer(state)))).reason).toBe('OUTCOME_UNKNOWN');
  expect((await failureOf(run({ transaction: undefined }))).reason).toBe('OUTCOME_UNKNOWN');
});
