import { expect, test } from 'vitest';
import type { Origin } from '../kernel.ts';
import { Requests } from './requests.ts';
import type { Resource, ResourceContext, ResourceRequests } from './resource.ts';
import { PartitionState, type ParticipantOutput } from './state.ts';
import { DEFAULT_SETTINGS, type ResourceTypes } from './types.ts';

interface Types extends ResourceTypes {
  readonly request: 'now' | 'later';
  readonly response: string;
}

/** Answers at once, or when the batch ends. */
class Echo implements ResourceRequests<Types> {
  readonly waiting: Origin[] = [];
  readonly dueCost = { operations: 0, bytes: 0 };
  missing = (): readonly string[] => [];
  cost = (): { operations: number; bytes: number } => ({ operations: 1, bytes: 10 });
  serve(request: 'now' | 'later', origin: Origin, context: ResourceContext<Types>): void {
    if (request === 'later') this.waiting.push(origin);
    else context.respond(origin, `revision ${context.takeRevision()} of epoch ${context.epoch}`);
  }
  cancel(target: Origin): void {
    this.waiting.splice(this.waiting.indexOf(target), 1);
  }
  retire(context: ResourceContext<Types>): void {
    for (const origin of this.waiting.splice(0)) context.fail(origin, { reason: 'NO_LEADER', message: 'gone' });
  }
  wakeAtMs = (): undefined => undefined;
  onDue(context: ResourceContext<Types>): void {
    context.urge('held');
    context.follow('now');
  }
  conclude(context: ResourceContext<Types>): void {
    for (const origin of this.waiting.splice(0)) context.respond(origin, 'at the end');
  }
}

function setUp(echo: Echo | undefined) {
  const resource = { requests: echo } as unknown as Resource<Types>;
  const state = new PartitionState<Types>({ ...DEFAULT_SETTINGS, participant: 'p', partition: 0 }, resource, new Set());
  const heard: unknown[] = [];
  const record = (...args: unknown[]): void => void heard.push(args);
  state.out = { reply: record, follow: record } as unknown as ParticipantOutput<Types>;
  state.epoch = 7;
  const urged: string[] = [];
  return { requests: new Requests(state, (holder) => urged.push(holder.transactionId)), state, heard, urged };
}

test('a request is answered at once or later, under the term\'s epoch, with revisions that are recorded', () => {
  const { requests, state, heard } = setUp(new Echo());
  requests.serve({ type: 'request', origin: 'a', request: 'now' });
  requests.serve({ type: 'request', origin: 'b', request: 'later' });
  requests.serve({ type: 'request', origin: 'c', request: 'later' });
  requests.cancel('c');
  requests.conclude();
  expect(heard).toEqual([
    ['a', { type: 'response', response: 'revision 1 of epoch 7' }],
    ['b', { type: 'response', response: 'at the end' }],
  ]);
  expect(state).toMatchObject({ revision: 1, progressChanged: true });
});

test('who waits is failed when the term is handed over', () => {
  const { requests, heard } = setUp(new Echo());
  requests.serve({ type: 'request', origin: 'b', request: 'later' });
  requests.retire();
  expect(heard).toEqual([['b', { type: 'failure', failure: { reason: 'NO_LEADER', message: 'gone' } }]]);
});

test('what is due may urge whoever holds a lock, and goes on in a command of its own', () => {
  const { requests, state, heard, urged } = setUp(new Echo());
  state.locks.request({ firstTryMs: 1, transactionId: 't1', wishes: [{ name: 'held', exclusive: false }] }, false);
  requests.onDue();
  expect(urged).toEqual(['t1']);
  expect(heard).toEqual([[{ type: 'request', request: 'now' }]]);
});

test('a resource without requests costs and does nothing', () => {
  const { requests } = setUp(undefined);
  expect(requests).toMatchObject({ wakeAtMs: Infinity, dueCost: { operations: 0, bytes: 0 } });
  expect(requests.missing('now')).toEqual([]);
});
