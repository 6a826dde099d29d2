import type { ClientDuplexStream } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CoordinatorServiceService as coordinator,
  State,
  type ExecuteCall,
  type ExecuteRequest,
  type ExecuteResult,
  type ExecuteStreamRequest,
  type ExecuteStreamResponse,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { statusToFailure } from '../../runtime/errors/status.ts';
import { ABSENT, newId, putOp, startMesh, type Meshed } from '../../runtime/router/testing/nodes.ts';

let mesh: Meshed;

beforeAll(async () => {
  mesh = await startMesh({ partitions: 4 });
});
afterAll(() => mesh.close());

const request = (fields: Partial<ExecuteRequest> = {}): ExecuteRequest => ({
  transactionId: newId(),
  operations: [putOp('inventory', 'a', '1'), putOp('payments', 'b', '1')],
  timeout: undefined,
  firstTryTime: undefined,
  mode: 0,
  ...fields,
});

const call = (sequence: number, fields: Partial<ExecuteCall> = {}): ExecuteCall => ({
  sequence,
  request: request({ operations: [putOp('inventory', `s${sequence}`, '1'), putOp('payments', `s${sequence}`, '1')] }),
  traceparent: '',
  remaining: undefined,
  ...fields,
});

/** A stream whose results are collected. */
class Caller {
  readonly results = new Map<number, ExecuteResult['result']>();
  readonly frames: number[] = [];
  readonly ended: Promise<unknown>;
  private readonly stream: ClientDuplexStream<ExecuteStreamRequest, ExecuteStreamResponse>;
  private wake = (): void => {};

  constructor(node = mesh.nodes[0]!) {
    this.stream = mesh.channels.duplex(node.address, coordinator.executeStream);
    this.stream.on('data', ({ results }: ExecuteStreamResponse) => {
      this.frames.push(results.length);
      for (const { sequence, result } of results) this.results.set(sequence, result);
      this.wake();
    });
    this.ended = new Promise((resolve) => {
      this.stream.once('end', () => resolve(undefined));
      this.stream.once('error', resolve);
    });
  }

  send(...calls: ExecuteCall[]): this {
    this.stream.write({ calls });
    return this;
  }

  async take(count: number): Promise<void> {
    while (this.results.size < count) await new Promise<void>((resolve) => (this.wake = resolve));
  }

  finish(): Promise<unknown> {
    this.stream.end();
    return this.ended;
  }

  cancel(): void {
    this.stream.cancel();
  }

  reason(sequence: number): string | undefined {
    const result = this.results.get(sequence);
    return result?.$case === 'error' ? statusToFailure(result.value).reason : undefined;
  }

  state(sequence: number): State | undefined {
    const result = this.results.get(sequence);
    return result?.$case === 'response' ? result.value.transaction!.state : undefined;
  }
}

const settled = [State.COMMITTING, State.COMMITTED];

describe('ExecuteStream', () => {
  test('answers every call of a frame by its sequence, many to a frame', async () => {
    const caller = new Caller();
    const calls = Array.from({ length: 500 }, (_, i) => call(i));
    caller.send(...calls);
    await caller.take(500);
    for (let i = 0; i < 500; i++) expect(settled).toContain(caller.state(i));
    expect(caller.frames.length).toBeLessThan(250);
    expect(await caller.finish()).toBeUndefined();
  });

  test('the end of the calls waits for the answers', async () => {
    const caller = new Caller();
    caller.send(call(1), call(2));
    await caller.finish();
    expect([caller.state(1), caller.state(2)].every((state) => settled.includes(state as never))).toBe(true);
  });

  test('a malformed call fails alone', async () => {
    const caller = new Caller();
    caller.send(
      call(1, { request: undefined }),
      call(2, { request: request({ operations: [] }) }),
      call(3, { request: request({ operations: [putOp('nobody', 'a', '1')] }) }),
      call(4),
      call(5, { remaining: { seconds: 0n, nanos: 0 } }),
      call(6, { traceparent: 'x'.repeat(300) }),
      call(7, { request: request({ operations: [putOp('No!', 'a', '1')] }) }),
      call(8, { remaining: { seconds: 1n, nanos: -1 } }),
    );
    await caller.take(8);
    const reasons = [1, 2, 3, 4, 5, 6, 7, 8].map((sequence) => caller.reason(sequence));
    expect(reasons).toEqual([
      'INVALID_FIELD',
      'INVALID_FIELD',
      'UNKNOWN_PARTICIPANT',
      undefined,
      'DEADLINE_EXCEEDED',
      'LIMIT_EXCEEDED',
      'INVALID_FIELD',
      'INVALID_FIELD',
    ]);
    await caller.finish();
  });

  test('a refused transaction is an outcome, not an error', async () => {
    const caller = new Caller();
    const twice = putOp('inventory', 'twice', '1', ABSENT);
    caller.send(call(1, { request: request({ operations: [twice] }) }));
    await caller.take(1);
    caller.send(call(2, { request: request({ operations: [twice] }) }));
    await caller.take(2);
    expect([settled.includes(caller.state(1) as never), caller.state(2)]).toEqual([true, State.ABORTED]);
    await caller.finish();
  });

  test('a sequence that is in use is refused', async () => {
    const { address } = mesh.nodes[0]!;
    const stream = mesh.channels.duplex(address, coordinator.executeStream);
    const results: ExecuteResult[] = [];
    const both = new Promise<void>((resolve) => {
      stream.on('data', (response: ExecuteStreamResponse) => {
        results.push(...response.results);
        if (results.length === 2) resolve();
      });
    });
    stream.write({ calls: [call(7), call(7)] });
    await both;
    const kinds = results.map(({ result }) => result!.$case).sort();
    expect(kinds).toEqual(['error', 'response']);
    stream.end();
  });

  test('what is beyond the limit of a frame is refused call by call', async () => {
    const caller = new Caller();
    caller.send(...Array.from({ length: 4100 }, (_, i) => call(i, { request: request({ operations: [] }) })));
    await caller.take(4100);
    expect([caller.reason(4095), caller.reason(4096)]).toEqual(['INVALID_FIELD', 'LIMIT_EXCEEDED']);
    await caller.finish();
  });

  test('more calls than may be under way are refused as surely not executed', async () => {
    const caller = new Caller();
    let sequence = 0;
    for (let frame = 0; frame < 6; frame++)
      caller.send(...Array.from({ length: 4000 }, () => call(sequence++, { request: request({ operations: [putOp('inventory', `o${sequence}`, '1')] }) })));
    await caller.take(24_000);
    const refused = [...caller.results.keys()].filter((at) => caller.reason(at) !== undefined);
    for (const at of refused) expect(caller.reason(at)).toBe('OVERLOADED');
    await caller.finish();
  });

  test('a caller that goes leaves nothing behind', async () => {
    const caller = new Caller();
    caller.send(call(1), call(2));
    await caller.take(1);
    caller.send(call(3), call(4));
    caller.cancel();
    await caller.ended;
    const next = new Caller();
    next.send(call(1));
    await next.take(1);
    await next.finish();
  });

  test('an id chosen by the server comes back', async () => {
    const caller = new Caller();
    caller.send(call(1, { request: request({ transactionId: '' }) }));
    await caller.take(1);
    const result = caller.results.get(1)!;
    expect(result.$case === 'response' && result.value.transaction!.transactionId).toMatch(/^[0-9a-f-]{36}$/);
    await caller.finish();
  });
});
