import * as grpc from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import type { AddResult, AddStreamRequest, AddStreamResponse } from '../../gen/txmesh/counter/v1/counter.ts';
import type { Timer } from '../../runtime/clock.ts';
import { StreamRequestMeter } from '../../runtime/telemetry/metrics/requests.ts';
import { WatchedHistogram } from '../../runtime/telemetry/metrics/watched-histograms.ts';
import type { CallContext, Duplex } from '../../runtime/transport/service.ts';
import { type AddParts, AddSession, MAX_OUTSTANDING } from './add-stream.ts';
import type { AddBatch, PendingAdd } from './chunk.ts';

const SESSION = '018bcfe5-6800-7000-8000-000000000001';

/** A stream between a caller and a dispatcher that does what the test says, on a clock of its own. */
class Scene {
  readonly sent: { readonly batch: AddBatch; readonly adds: readonly PendingAdd[] }[] = [];
  readonly written: AddStreamResponse[] = [];
  readonly states: string[] = [];
  readonly durations = new WatchedHistogram([0.1, 1], {});
  private readonly requests = new StreamRequestMeter('AddStream', this.durations);
  ended: Promise<void>;
  nowMs = 1_700_000_000_000;
  full = false;
  private readonly timers: { atMs: number; call: () => void }[] = [];
  private take: (request: AddStreamRequest) => void = () => {};
  private close = (): void => {};
  private drain = (): void => {};

  constructor() {
    const services = {
      clock: {
        nowMs: () => this.nowMs,
        monotonicMs: () => this.nowMs,
        setTimer: (delayMs: number, call: () => void): Timer => {
          const timer = { atMs: this.nowMs + delayMs, call };
          this.timers.push(timer);
          return { cancel: () => void this.timers.splice(this.timers.indexOf(timer), 1) };
        },
      },
      view: { service: () => ({ name: 'counter', kind: 'counter', partitions: 1 }) },
      kind: { name: 'counter', label: 'counter service' },
      router: { refuseWork: () => undefined },
    };
    const calls: Duplex<AddStreamRequest, AddStreamResponse> = {
      receive: (take) => {
        this.take = take;
        return new Promise((resolve) => (this.close = resolve));
      },
      pause: () => void this.states.push('paused'),
      resume: () => void this.states.push('resumed'),
      write: (response) => {
        this.written.push(response);
        return !this.full;
      },
      drained: () => (this.full ? new Promise((resolve) => (this.drain = resolve)) : Promise.resolve()),
    };
    const dispatcher = { send: (batch: AddBatch, adds: readonly PendingAdd[]) => void this.sent.push({ batch, adds }) };
    const context: CallContext = { signal: new AbortController().signal, deadlineMs: Infinity, traceparent: undefined, forwarded: false, peer: '', metadata: new grpc.Metadata() };
    const parts = { services, dispatcher, spans: { serve: () => undefined }, requests: this.requests } as unknown as AddParts;
    this.ended = new AddSession(parts, calls, context).run();
  }

  send(from: number, count: number, more: Partial<AddStreamRequest> = {}): void {
    const adds = Array.from({ length: count }, (_, i) => ({ sequence: from + i, counter: i === 0 ? 'c' : '', amount: 1n }));
    this.take({ participant: '', session: SESSION, settledBelow: 1, adds, remaining: undefined, traceparent: '', ...more });
  }

  answer(frame: number): void {
    const { batch, adds } = this.sent[frame]!;
    for (const add of adds) batch.onOutcome(add, { type: 'counted', check: 0, value: BigInt(add.sequence) });
  }

  async results(): Promise<AddResult[]> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.written.splice(0).flatMap(({ results }) => results);
  }

  /** Adds that were counted, by status. */
  counted(): Record<string, number> {
    const found: Record<string, number> = {};
    this.requests.read((value, attributes) => {
      if (value > 0) found[String(attributes['grpc.status'])] = value;
    });
    return found;
  }

  pass(ms: number): void {
    this.nowMs += ms;
    for (const timer of this.timers.filter(({ atMs }) => atMs <= this.nowMs)) {
      this.timers.splice(this.timers.indexOf(timer), 1);
      timer.call();
    }
  }

  finish(): void {
    this.close();
  }

  empty(): void {
    this.full = false;
    this.drain();
  }
}

describe('a stream of adds', () => {
  test('ends when the last add has its result', async () => {
    const scene = new Scene();
    scene.send(1, 3);
    scene.finish();
    let over = false;
    void scene.ended.then(() => (over = true));
    expect(await scene.results()).toEqual([]);
    expect(over).toBe(false);
    scene.answer(0);
    await scene.ended;
    expect((await scene.results()).map(({ sequence, value }) => [sequence, value])).toEqual([[1, 1n], [2, 2n], [3, 3n]]);
  });

  test('a deadline ends the waiting once, and what comes later is not told', async () => {
    const scene = new Scene();
    scene.send(1, 2, { remaining: { seconds: 0n, nanos: 100_000_000 } });
    scene.send(3, 1);
    scene.pass(250);
    expect((await scene.results()).map(({ sequence, error }) => [sequence, error?.code])).toEqual([[1, 4], [2, 4]]);
    scene.answer(0);
    scene.answer(1);
    expect((await scene.results()).map(({ sequence }) => sequence)).toEqual([3]);
    scene.send(4, 1, { remaining: { seconds: 0n, nanos: 0 } });
    expect((await scene.results())[0]?.error?.message).not.toContain('not known');
    expect(scene.sent.length).toBe(2);
    expect(scene.counted()).toEqual({ DEADLINE_EXCEEDED: 3, OK: 1 });
    // What was refused at once took no time.
    expect(scene.durations.read()).toMatchObject({ count: 4, sum: 0.75, buckets: { counts: [1, 3, 0] } });
  });

  test('what is beyond the bound is refused with a retry delay, and taken when there is room', async () => {
    const scene = new Scene();
    for (let frame = 0; frame < MAX_OUTSTANDING / 4096; frame++) scene.send(1 + frame * 4096, 4096);
    scene.send(100_000, 1);
    const [refused] = await scene.results();
    expect([refused?.error?.code, refused?.error?.details.length]).toEqual([8, 2]);
    scene.answer(0);
    await scene.results();
    scene.send(100_000, 1);
    expect(scene.sent.length).toBe(MAX_OUTSTANDING / 4096 + 1);
  });

  test('a caller that does not read its results is not read from', async () => {
    const scene = new Scene();
    scene.full = true;
    scene.send(1, 1);
    scene.answer(0);
    await scene.results();
    expect(scene.states).toEqual(['paused']);
    scene.empty();
    await scene.results();
    expect(scene.states).toEqual(['paused', 'resumed']);
  });

  test('results of different sessions are told apart', async () => {
    const scene = new Scene();
    const other = SESSION.replace(/1$/, '2');
    scene.send(1, 1);
    scene.send(1, 1, { session: other });
    scene.answer(1);
    scene.answer(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(scene.written.map(({ session, results }) => [session, results.length])).toEqual([[other, 1], [SESSION, 1]]);
  });
});
