/** What each method and operation of counter services needs; see runtime/security. */

import type { AddStreamResponse, CounterServiceService } from '../../gen/txmesh/counter/v1/counter.ts';
import { ConfigureOperation } from '../../gen/txmesh/counter/v1/counter_operation.ts';
import type { CounterPartitionServiceService } from '../../gen/txmesh/counter/v1/counter_partition.ts';
import { failureToStatus } from '../../runtime/errors/status.ts';
import type { AccessTable, Judge, MethodAccess, OperationTable } from '../../runtime/security/access.ts';
import { carried } from '../../runtime/security/operations.ts';
import { decodeStrictly } from '../../runtime/transport/decode.ts';
import { DEFAULT_SERVICE } from './names.ts';

const COUNTER = ['participants', 'counters'] as const;

const serviceNamed = (participant: string): string => (participant === '' ? DEFAULT_SERVICE : participant);

const onCounter = (right: 'ordinary' | 'admin'): MethodAccess<{ readonly participant: string; readonly counter: string }> => ({
  right,
  about: COUNTER,
  judge: ({ participant, counter }, judge) => judge.needs('counters', serviceNamed(participant), counter),
});

const onCounters: MethodAccess<{ readonly participant: string; readonly counters: readonly string[] }> = {
  right: 'ordinary',
  about: COUNTER,
  judge({ participant, counters }, judge) {
    for (const counter of counters) judge.needs('counters', serviceNamed(participant), counter);
  },
};

export const counterAccess: AccessTable<typeof CounterServiceService> = {
  createCounter: onCounter('admin'),
  getCounter: onCounter('ordinary'),
  updateCounter: onCounter('admin'),
  deleteCounter: onCounter('admin'),
  listCounters: { right: 'ordinary', about: COUNTER, judge: ({ participant, prefix }, judge) => judge.needsAll('counters', serviceNamed(participant), prefix) },
  add: onCounter('ordinary'),
  batchAdd: {
    right: 'ordinary',
    about: COUNTER,
    judge({ participant, adds }, judge) {
      let counter = '';
      for (const add of adds) {
        // Empty: the one before.
        if (add.counter === counter || add.counter === '') continue;
        judge.needs('counters', serviceNamed(participant), (counter = add.counter));
      }
    },
    count: ({ adds }) => adds.length,
  },
  addStream: {
    right: 'ordinary',
    about: COUNTER,
    screen(request, parts) {
      const participant = serviceNamed(request.participant);
      const { adds } = request;
      const refused: AddStreamResponse['results'] = [];
      const left: typeof adds = [];
      let counter = '';
      let failure: ReturnType<typeof parts.of>;
      for (const add of adds) {
        if (add.counter !== '' && add.counter !== counter) {
          const name = (counter = add.counter);
          failure = parts.of((judge) => judge.needs('counters', participant, name));
        }
        if (failure !== undefined) refused.push({ sequence: add.sequence, value: undefined, error: failureToStatus(failure) });
        // By its name: the one before it may be gone.
        else left.push(add.counter === counter ? add : { ...add, counter });
      }
      if (refused.length === 0) return { request };
      return { request: left.length === 0 ? undefined : { ...request, adds: left }, answer: { session: request.session, results: refused } };
    },
    count: ({ adds }) => adds.length,
  },
  get: onCounter('ordinary'),
  batchGet: onCounters,
  compareAndSet: onCounter('ordinary'),
  reset: onCounter('ordinary'),
  watch: onCounters,
  getRates: onCounter('ordinary'),
  // From other clusters: what they say is believed.
  mergeState: {
    right: 'participate',
    about: COUNTER,
    judge({ participant, states }, judge) {
      for (const { counter } of states) judge.needs('counters', serviceNamed(participant), counter);
    },
  },
};

export const counterPartitionAccess: AccessTable<typeof CounterPartitionServiceService> = {
  askPartition: { right: 'peer', about: [] },
  watchPartition: { right: 'peer', about: [] },
};

export const counterOperations: OperationTable = {
  'txmesh.counter.v1.AddOperation': carried('CounterService/Add', 'counters'),
  // It tells the value, by trying.
  'txmesh.counter.v1.CheckOperation': carried('CounterService/Get', 'counters'),
  'txmesh.counter.v1.ConfigureOperation': (participant, value, judge) => judgeChange(participant, decodeStrictly(ConfigureOperation, value), judge),
};

const CHANGES = { create: 'CounterService/CreateCounter', update: 'CounterService/UpdateCounter', delete: 'CounterService/DeleteCounter' } as const;

/** Without a change it is refused by the counter; asked for the right to delete, as what it reads like. */
function judgeChange(participant: string, { counter, change }: ConfigureOperation, judge: Judge): void {
  judge.needsFor(CHANGES[change?.$case ?? 'delete'], 'counters', participant, counter);
}
