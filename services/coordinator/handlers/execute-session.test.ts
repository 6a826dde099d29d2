import { expect, test } from 'vitest';
import type { ExecuteResult, ExecuteStreamRequest, ExecuteStreamResponse } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Execute } from '../../kernel/coordinator/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import { statusToFailure } from '../../runtime/errors/status.ts';
import type { Requester } from '../../runtime/partition/term.ts';
import { newId, putOp } from '../../runtime/router/testing/nodes.ts';
import { Spans } from '../../runtime/telemetry/spans.ts';
import type { CallContext, Duplex } from '../../runtime/transport/service.ts';
import { ExecuteSession, MAX_OUTSTANDING } from './execute-stream.ts';
import { Planner } from './plan.ts';
import type { CoordinatorServices } from './service.ts';

/** A session over a term that answers when the test says so, and a caller that reads when it says so. */
function setUp() {
  const commands: Execute[] = [];
  const timers: (() => void)[] = [];
  const results: ExecuteResult[] = [];
  const reader = { reads: true, paused: false, drained: (): void => {} };
  let nowMs = Date.now();
  let take: (request: ExecuteStreamRequest) => void = () => {};
  let end = (): void => {};
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimer: (_, run) => {
      timers.push(run);
      return { cancel: () => void timers.splice(timers.indexOf(run), 1) };
    },
  };
  const term = { epoch: 1, submit: (command: Execute) => void commands.push(command) };
  const services = {
    view: { service: (name: string) => ({ name, kind: 'key-value', partitions: 1 }) },
    clock,
    readOnlyTypes: new Set<string>(),
    spans: new Spans(false, ''),
    newId,
    router: { places: { now: () => ({ type: 'local', term }) }, refuseWork: () => undefined },
  } as unknown as CoordinatorServices;
  const calls: Duplex<ExecuteStreamRequest, ExecuteStreamResponse> = {
    receive: (taker) => {
      take = taker;
      return new Promise((resolve) => (end = resolve));
    },
    pause: () => void (reader.paused = true),
    resume: () => void (reader.paused = false),
    write(response) {
      results.push(...response.results);
      return reader.reads;
    },
    drained: () => (reader.reads ? Promise.resolve() : new Promise((resolve) => (reader.drained = resolve))),
  };
  const context = { forwarded: false, signal: new AbortController().signal } as CallContext;
  const run = new ExecuteSession({ services, planner: new Planner(services), forwarder: undefined as never }, calls, context).run();
  return {
    commands,
    results,
    reader,
    run,
    end: () => end(),
    send(count: number, remainingMs?: number): void {
      const remaining = remainingMs === undefined ? undefined : { seconds: 0n, nanos: remainingMs * 1e6 };
      const request = () => ({ transactionId: newId(), operations: [putOp('inventory', 'a', '1')], timeout: undefined, firstTryTime: undefined, mode: 0 as const });
      const from = sequence;
      sequence += count;
      take({ calls: Array.from({ length: count }, (_, i) => ({ sequence: from + i, request: request(), traceparent: '', remaining })) });
    },
    answer(command: Execute): void {
      const { transactionId } = command;
      (command.origin as Requester<unknown>).onReply({
        type: 'transaction',
        transaction: { transactionId, state: 'COMMITTED', mode: 'two-phase-commit', branches: [], mixed: false },
      });
    },
    pass(ms: number): void {
      nowMs += ms;
      for (const timer of timers.splice(0)) timer();
    },
  };
}

let sequence = 0;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const reasons = (results: readonly ExecuteResult[]): (string | undefined)[] =>
  results.map(({ result }) => (result?.$case === 'error' ? statusToFailure(result.value).reason : undefined));

test('the calls under way are bounded (P8), and room is made by answers', async () => {
  const session = setUp();
  for (let sent = 0; sent < MAX_OUTSTANDING; sent += 4096) session.send(4096);
  session.send(2);
  await turn();
  expect(session.commands).toHaveLength(MAX_OUTSTANDING);
  expect(reasons(session.results)).toEqual(['OVERLOADED', 'OVERLOADED']);
  session.answer(session.commands[0]!);
  session.send(1);
  expect(session.commands).toHaveLength(MAX_OUTSTANDING + 1);
});

test('a caller that does not read its answers is not read from either', async () => {
  const session = setUp();
  session.send(2);
  session.reader.reads = false;
  session.answer(session.commands[0]!);
  await turn();
  expect(session.reader.paused).toBe(true);
  session.reader.reads = true;
  session.reader.drained();
  await turn();
  expect(session.reader.paused).toBe(false);
});

test('a call whose deadline passes is answered, once, and no promise is made about its outcome', async () => {
  const session = setUp();
  session.send(1, 500);
  session.pass(100);
  await turn();
  expect(session.results).toEqual([]);
  session.pass(500);
  session.answer(session.commands[0]!);
  await turn();
  expect(reasons(session.results)).toEqual(['DEADLINE_EXCEEDED']);
  const [{ result }] = session.results as [ExecuteResult];
  expect(result!.$case === 'error' && result!.value.message).toContain('not known');
});

test('the transaction is given up before its caller gives up, so that the caller hears of it', () => {
  const session = setUp();
  session.send(1, 400);
  const [command] = session.commands as [Execute];
  expect(command.deadlineMs).toBeLessThan(Date.now() + 400);
});

test('answers of one turn leave in one frame, and the session ends with the last of them', async () => {
  const session = setUp();
  session.send(3);
  session.end();
  for (const command of session.commands) session.answer(command);
  await session.run;
  expect(session.results).toHaveLength(3);
});
