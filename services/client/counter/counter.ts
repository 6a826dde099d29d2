/** One counter. */

import { CounterServiceService as methods } from '../../gen/txmesh/counter/v1/counter.ts';
import { changeOptions, type ChangeOptions } from '../change.ts';
import { checkedTimeoutMs, type CallOptions } from '../options.ts';
import type { Rpc, RpcOptions } from '../rpc.ts';
import { duration } from '../times.ts';
import { startCallSpan } from '../trace.ts';
import type { Adder } from './adder.ts';
import {
  counterFrom,
  ratesFrom,
  valueFrom,
  wireBounds,
  wireConsistency,
  wireKind,
  type Bounds,
  type CounterConsistency,
  type CounterInfo,
  type CounterKind,
  type CounterValue,
  type Rate,
} from './counter-codec.ts';
import { toInt64, type Integer } from './integer.ts';
import { watchCounters } from './watch-counters.ts';

const SERVICE = 'txmesh.counter.v1.CounterService';

export interface CreateCounterOptions extends ChangeOptions {
  /** Can't be changed later. Default STRONG. */
  readonly kind?: CounterKind;
  /** For a strong counter only: they hold at all times. */
  readonly bounds?: Bounds;
  /** For a strong counter only. Default 0. */
  readonly initialValue?: Integer;
  /** For a sharded counter: 1 to 64. Default 8. */
  readonly shards?: number;
}

export interface UpdateCounterOptions extends ChangeOptions {
  /** New bounds of a strong counter; `{}` takes them away. Default: as they are. */
  readonly bounds?: Bounds;
  /** New number of shards of a sharded counter. Default: as it is. */
  readonly shards?: number;
}

export interface CounterReadOptions extends CallOptions {
  readonly consistency?: CounterConsistency;
  /** For `eventual`: how old a sum of a sharded or replicated counter may be, milliseconds. Default 1,000. */
  readonly maxAgeMs?: number;
}

/** A counter of a counter service, as `mesh.counter(name)` makes it. Names: 1 to 256 bytes. */
export class Counter {
  readonly name: string;
  readonly participant: string;
  private readonly rpc: Rpc;
  private readonly adder: Adder;

  constructor(rpc: Rpc, adder: Adder, participant: string, name: string) {
    this.rpc = rpc;
    this.adder = adder;
    this.participant = participant;
    this.name = name;
  }

  /** @throws AlreadyExists where there is one of this name. */
  async create(options: CreateCounterOptions = {}): Promise<CounterInfo> {
    const { requestId, call } = this.change(options);
    const request = {
      participant: this.participant,
      counter: this.name,
      kind: wireKind(options.kind),
      bounds: wireBounds(options.bounds),
      initialValue: toInt64(options.initialValue ?? 0, 'initialValue'),
      shards: options.shards ?? 0,
      requestId,
    };
    const { counter } = await this.rpc.call(methods.createCounter, request, call);
    return counterFrom(counter!);
  }

  /** Its configuration. */
  async info(options: CallOptions = {}): Promise<CounterInfo> {
    const { counter } = await this.rpc.call(methods.getCounter, this.named, this.routed(options));
    return counterFrom(counter!);
  }

  /** Changes its bounds or its number of shards; adds go on meanwhile. */
  async update(options: UpdateCounterOptions): Promise<CounterInfo> {
    const { requestId, call } = this.change(options);
    const request = { ...this.named, bounds: wireBounds(options.bounds), shards: options.shards ?? 0, requestId };
    const { counter } = await this.rpc.call(methods.updateCounter, request, call);
    return counterFrom(counter!);
  }

  /** Deletes it with its value. */
  async delete(options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = this.change(options);
    await this.rpc.call(methods.deleteCounter, { ...this.named, requestId }, call);
  }

  /**
   * Adds an amount, negative to subtract; once, however often it has to be sent. What is added in one
   * turn of the event loop travels together. When much is under way it waits for room, so await it now
   * and then.
   * @returns the value right after it, of a strong counter
   * @throws FailedPrecondition with reason BOUND_EXCEEDED, which says how much is left
   * @throws OutcomeUnknown if no answer arrived in time: `error.settle()` adds it, if it was not
   */
  async add(amount: Integer = 1, { signal, timeoutMs = this.rpc.settings.timeoutMs }: CallOptions = {}): Promise<bigint | undefined> {
    const exact = toInt64(amount, 'amount');
    const deadlineMs = this.rpc.environment.clock.monotonicMs() + checkedTimeoutMs(timeoutMs);
    return this.adder.add(this.name, exact, { deadlineMs, signal, span: startCallSpan(SERVICE, 'Add') });
  }

  /** Its value, with how fresh that is. */
  async get({ consistency, maxAgeMs, ...options }: CounterReadOptions = {}): Promise<CounterValue> {
    const request = {
      ...this.named,
      consistency: wireConsistency(consistency),
      maxAge: duration(maxAgeMs, 'maxAgeMs'),
      transaction: undefined,
    };
    const { value } = await this.rpc.call(methods.get, request, this.routed(options));
    return valueFrom(value!);
  }

  /**
   * Sets a strong counter, if it has the expected value now.
   * @throws TransactionAborted with reason PRECONDITION_FAILED, if it has another
   */
  async compareAndSet(expected: Integer, value: Integer, options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = this.change(options);
    const request = { ...this.named, expected: toInt64(expected, 'expected'), value: toInt64(value, 'value'), requestId };
    await this.rpc.call(methods.compareAndSet, request, call);
  }

  /** Sets a strong counter, whatever it has now. */
  async reset(value: Integer = 0, options: ChangeOptions = {}): Promise<void> {
    const { requestId, call } = this.change(options);
    await this.rpc.call(methods.reset, { ...this.named, value: toInt64(value, 'value'), requestId }, call);
  }

  /**
   * Its value now, and again when it has changed, at most every 100 ms; undefined where it does not
   * exist. Goes on by itself after a lost connection.
   * @throws Cancelled when the signal fires
   */
  async *watch({ signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<CounterValue | undefined, void, undefined> {
    for await (const { value } of watchCounters(this.rpc, this.participant, [this.name], signal)) yield value;
  }

  /** What was added within the last minute, hour and day. */
  async rates(options: CallOptions = {}): Promise<{ readonly minute: Rate; readonly hour: Rate; readonly day: Rate }> {
    return ratesFrom(await this.rpc.call(methods.getRates, this.named, this.routed(options)));
  }

  private get named() {
    return { participant: this.participant, counter: this.name };
  }

  private change(options: ChangeOptions) {
    return changeOptions(this.participant, this.name, options);
  }

  private routed({ signal, timeoutMs }: CallOptions): RpcOptions {
    return { signal, timeoutMs, route: { service: this.participant, routingKey: this.name } };
  }
}
