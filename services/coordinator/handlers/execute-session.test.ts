import { expect, test } from 'vitest';
import type { ExecuteResult, ExecuteStreamRequest, ExecuteStreamResponse } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Execute } from '../../kernel/coordinator/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { statusToFailure } from '../../runtime/errors/status.ts';
import type { Requester } from '../../runtime/partition/term.ts';
import { newId, putOp } from '../../runtime/router/testing/nodes.ts';
import { StreamRequestMeter } from '../../runtime/telemetry/metrics/requests.ts';
import { WatchedHistogram } from '../../runtime/telemetry/metrics/watched-histograms.ts';
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
  let fail: (error: Error) => void = () => {};
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
      return new Promise((resolve, reject) => {
        end = resolve;
        fail = reject;
      });
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
  const durations = new WatchedHistogram([0.1, 1], {});
  const requests = new StreamRequestMeter('ExecuteStream', durations);
  const run = new ExecuteSession({ services, planner: new Planner(services), forwarder: undefined as never, requests }, calls, context).run();
  return {
    /** Requests that were counted, by status. */
    counted(): Record<string, number> {
      const found: Record<string, number> = {};
      requests.read((value, attributes) => {
        if (value > 0) found[String(attributes['grpc.status'])] = value;
      });
      return found;
    },
    durations: () => durations.read(),
    fail: (error: Error) => fail(error),
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
  expect(session.counted()).toEqual({ RESOURCE_EXHAUSTED: 2 });
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
  expect(session.counted(), 'once').toEqual({ DEADLINE_EXCEEDED: 1 });
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

test('each call is counted once, with its status and how long it took', async () => {
  const session = setUp();
  session.send(2);
  session.pass(50);
  session.answer(session.commands[0]!);
  session.pass(450);
  session.answer(session.commands[1]!);
  session.answer(session.commands[1]!);
  expect(session.counted()).toEqual({ OK: 2 });
  expect(session.durations()).toMatchObject({ count: 2, sum: 0.55, buckets: { counts: [1, 1, 0] } });
});

test('calls that are not answered when the stream breaks are counted as it ended', async () => {
  const session = setUp();
  session.send(3);
  session.answer(session.commands[0]!);
  session.fail(new FailureError({ reason: 'CANCELLED', message: 'gone' }));
  await expect(session.run).rejects.toThrow('gone');
  session.answer(session.commands[1]!);
  expect(session.counted()).toEqual({ OK: 1, CANCELLED: 2 });
});
