/** A counter service for tests of its clients: in memory; adds can be made to fail. */

import type * as grpc from '@grpc/grpc-js';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Operation } from '../../services/gen/txmesh/common/v1/common.ts';
import {
  AddOperation,
  CounterServiceService,
  Kind,
  type AddRequest,
  type AddResult,
  type AddStreamRequest,
  type AddStreamResponse,
  type BatchGetRequest,
  type CompareAndSetRequest,
  type CounterValue,
  type CreateCounterRequest,
  type WatchRequest,
  type WatchResponse,
} from '../../services/gen/txmesh/counter/v1/counter.ts';
import type { Failure } from '../../services/kernel/failure.ts';
import { failureToStatus } from '../../services/runtime/errors/status.ts';
import { unary } from './unary.ts';

type AddStream = grpc.ServerDuplexStream<AddStreamRequest, AddStreamResponse>;
type WatchStream = grpc.ServerWritableStream<WatchRequest, WatchResponse>;

interface Add {
  readonly session: string;
  readonly sequence: number;
  readonly counter: string;
  readonly amount: bigint;
}

export class FakeCounter {
  readonly values = new Map<string, bigint>();
  readonly created: CreateCounterRequest[] = [];
  /** What came in on streams, in frames. */
  readonly frames: AddStreamRequest[] = [];
  readonly adds: Add[] = [];
  readonly unaryAdds: AddRequest[] = [];
  /** The answer to every unary add. */
  refusal: Failure | undefined;
  readonly watches: WatchStream[] = [];
  /** What becomes of an add of a stream: done, refused, or never answered. */
  onAdd: (add: Add, stream: AddStream) => 'own' | Failure | undefined = () => 'own';
  private readonly executed = new Map<string, bigint>();

  get sessions(): string[] {
    return [...new Set(this.frames.map(({ session }) => session))];
  }

  /** Once for each token. */
  execute({ session, sequence, counter, amount }: Add): bigint {
    const token = `${session}/${sequence}`;
    const known = this.executed.get(token);
    if (known !== undefined) return known;
    const value = (this.values.get(counter) ?? 0n) + amount;
    this.values.set(counter, value);
    this.executed.set(token, value);
    return value;
  }

  apply({ operation }: Operation): void {
    if (!operation!.typeUrl.endsWith('AddOperation')) return;
    const { counter, amount } = AddOperation.decode(operation!.value);
    this.values.set(counter, (this.values.get(counter) ?? 0n) + amount);
  }

  implementation(): UntypedServiceImplementation {
    const unimplemented = unary(() => ({ failure: { reason: 'INTERNAL', message: 'the fake does not do this' } }));
    return {
      ...Object.fromEntries(Object.keys(CounterServiceService).map((name) => [name, unimplemented])),
      createCounter: unary((request: CreateCounterRequest) => {
        this.created.push(request);
        const { counter, kind, bounds, initialValue, shards } = request;
        this.values.set(counter, initialValue);
        return { response: { counter: { counter, kind, bounds, shards, movingSlots: 0, createTime: undefined } } };
      }),
      add: unary((request: AddRequest) => {
        this.unaryAdds.push(request);
        const { counter, amount, token } = request;
        if (this.refusal !== undefined) return { failure: this.refusal };
        return { response: { value: this.execute({ ...token!, counter, amount }) } };
      }),
      addStream: (stream: AddStream) => this.onAddStream(stream),
      get: unary(({ counter }: { counter: string }) => {
        const value = this.value(counter);
        return value === undefined ? { failure: { reason: 'COUNTER_NOT_FOUND', message: `no counter ${counter}` } } : { response: { value } };
      }),
      batchGet: unary(({ counters }: BatchGetRequest) => {
        const results = counters.map((counter) => {
          const value = this.value(counter);
          const error = failureToStatus({ reason: 'COUNTER_NOT_FOUND', message: `no counter ${counter}` });
          return { result: value === undefined ? { $case: 'error', value: error } : { $case: 'value', value } };
        });
        return { response: { results } };
      }),
      compareAndSet: unary(({ counter, expected, value }: CompareAndSetRequest) => {
        const current = this.values.get(counter);
        if (current !== expected) return { failure: { reason: 'PRECONDITION_FAILED', message: `${counter} is ${current}, not ${expected}` } };
        this.values.set(counter, value);
        return { response: {} };
      }),
      watch: (stream: WatchStream) => {
        this.watches.push(stream);
        stream.on('error', () => undefined);
        stream.write({ counters: stream.request.counters.map((counter) => ({ counter, value: this.value(counter) })) });
      },
    };
  }

  private value(counter: string): CounterValue | undefined {
    const value = this.values.get(counter);
    return value === undefined ? undefined : { counter, kind: Kind.STRONG, value, age: undefined, pendingAdds: 0, pendingAge: undefined };
  }

  private onAddStream(stream: AddStream): void {
    stream.on('data', (frame: AddStreamRequest) => {
      this.frames.push(frame);
      const results: AddResult[] = [];
      let last = '';
      for (const { sequence, counter, amount } of frame.adds) {
        last = counter || last;
        const add = { session: frame.session, sequence, counter: last, amount };
        this.adds.push(add);
        const answered = this.onAdd(add, stream);
        if (answered === 'own') results.push({ sequence, value: this.execute(add), error: undefined });
        else if (answered !== undefined) results.push({ sequence, value: undefined, error: failureToStatus(answered) });
      }
      if (results.length > 0) stream.write({ session: frame.session, results });
    });
    stream.on('end', () => stream.end());
    stream.on('error', () => undefined);
  }
}
