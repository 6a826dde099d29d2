import * as grpc from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import type { PartitionAdds, PartitionOutcome } from '../../gen/txmesh/counter/v1/counter_partition.ts';
import type { AddOutcome } from '../../kernel/counter/types.ts';
import type { Failure } from '../../kernel/failure.ts';
import { systemClock } from '../../runtime/clock.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { type AddBatch, Chunk, type ChunkOwner, type PendingAdd } from './chunk.ts';
import { Lanes } from './lanes.ts';
import type { PartitionPort } from './partition-port.ts';

/** A partition that answers when it is told to. */
class Remote implements ChunkOwner {
  readonly calls: { readonly adds: PartitionAdds; answer(): void; fail(failure: Failure): void }[] = [];
  readonly settled: { readonly chunk: Chunk; readonly outcomes: readonly AddOutcome[] }[] = [];
  readonly failed: { readonly adds: readonly PendingAdd[]; readonly failure: Failure }[] = [];
  private readonly lanes: Lanes;

  constructor() {
    const port = {
      ask: (_: string, __: number, { value }: { value: PartitionAdds }) =>
        new Promise<{ outcomes: PartitionOutcome[] }>((resolve, reject) => {
          this.calls.push({
            adds: value,
            answer: () => resolve({ outcomes: value.adds.map(({ sequence }) => ({ value: BigInt(sequence), error: undefined, elsewhere: false, layout: undefined })) }),
            fail: (failure) => reject(new FailureError(failure)),
          });
        }),
    };
    this.lanes = new Lanes(port as unknown as PartitionPort, this, systemClock);
  }

  settle(chunk: Chunk, outcomes: readonly AddOutcome[]): void {
    this.settled.push({ chunk, outcomes });
  }

  fail(_: AddBatch, adds: readonly PendingAdd[], failure: Failure): void {
    this.failed.push({ adds, failure });
  }

  send(session: string, settledBelow: number, ...adds: readonly (readonly [counter: string, sequence: number])[]): void {
    const service = { name: 'counter', kind: 'counter', partitions: 2 } as const;
    const context = { signal: new AbortController().signal, deadlineMs: Infinity, traceparent: undefined, forwarded: false, peer: '', metadata: new grpc.Metadata() };
    const chunk = new Chunk(this, { service, session, settledBelow, context, onOutcome: () => undefined }, 1, 0);
    for (const [counter, sequence] of adds) expect(chunk.take({ counter, sequence, amount: 1n })).toBe(true);
    this.lanes.send(chunk);
  }

  /** Until what was answered has been taken. */
  async answered(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('adds for a partition that is led elsewhere', () => {
  test('one call is under way for each session, and what comes meanwhile goes together', async () => {
    const remote = new Remote();
    remote.send('one', 1, ['a', 1]);
    remote.send('one', 2, ['b', 2], ['a', 3]);
    remote.send('one', 3, ['a', 4]);
    remote.send('two', 1, ['a', 1]);
    expect(remote.calls.map(({ adds }) => adds.adds.length)).toEqual([1, 1]);
    remote.calls[0]!.answer();
    await remote.answered();
    expect(remote.calls[2]!.adds).toMatchObject({
      session: 'one',
      settledBelow: 2,
      names: ['b', 'a'],
      adds: [{ counter: 0, sequence: 2 }, { counter: 1, sequence: 3 }, { counter: 1, sequence: 4 }],
    });
    remote.calls[2]!.answer();
    await remote.answered();
    expect(remote.settled.map(({ outcomes }) => outcomes.map((outcome) => (outcome.type === 'counted' ? outcome.value : outcome.type)))).toEqual([[1n], [2n, 3n], [4n]]);
    remote.send('one', 5, ['a', 5]);
    expect(remote.calls.length).toBe(4);
  });

  test('each chunk hears of a failure, and the lane goes on', async () => {
    const remote = new Remote();
    remote.send('one', 1, ['a', 1]);
    remote.send('one', 1, ['a', 2]);
    remote.calls[0]!.fail({ reason: 'OUTCOME_UNKNOWN', message: 'lost' });
    await remote.answered();
    expect(remote.failed.map(({ adds, failure }) => [adds[0]!.sequence, failure.reason])).toEqual([[1, 'OUTCOME_UNKNOWN']]);
    remote.calls[1]!.answer();
    await remote.answered();
    expect(remote.settled.length).toBe(1);
  });

  test('a call keeps to the limits of a request, and to what tokens may be ahead', async () => {
    const remote = new Remote();
    remote.send('one', 1, ['a', 1]);
    for (let part = 0; part < 3; part++) remote.send('one', 1, ...Array.from({ length: 30 }, (_, i) => [`c${part}-${i}`, part * 100 + i + 2] as const));
    remote.send('one', 9_000_000, ['a', 9_000_001]);
    for (const call of [0, 1, 2, 3]) {
      remote.calls[call]!.answer();
      await remote.answered();
    }
    expect(remote.calls.map(({ adds }) => [adds.names.length, adds.settledBelow])).toEqual([[1, 1], [60, 1], [30, 1], [1, 9_000_000]]);
  });
});
