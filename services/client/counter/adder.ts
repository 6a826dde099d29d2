/**
 * Adds to the counters of one service, each once: under a session and a sequence, so that what was lost
 * can be sent again. A new session begins when the last one is old, or stuck.
 */

import { CounterServiceService as methods } from '../../gen/txmesh/counter/v1/counter.ts';
import type { Reason } from '../errors.ts';
import { Lanes } from '../lanes.ts';
import type { CallOptions } from '../options.ts';
import type { Rpc } from '../rpc.ts';
import type { TokenCallOptions } from '../token-call.ts';
import { TokenCalls, type TokenCallOwner } from '../token-calls.ts';
import { AddCall } from './add-call.ts';
import { AddLane } from './add-lane.ts';

/** Bytes of an add beside its counter's name. */
const ADD_BYTES = 32;
/** UTF-8 takes at most this many bytes for each UTF-16 unit. */
const BYTES_PER_UNIT = 3;
const REFUSALS: ReadonlySet<Reason> = new Set(['BOUND_EXCEEDED', 'COUNTER_OVERFLOW']);

export class Adder implements TokenCallOwner<AddCall> {
  readonly what = 'the add';
  readonly refusals = REFUSALS;
  private readonly rpc: Rpc;
  private readonly participant: string;
  private readonly calls: TokenCalls<bigint | undefined, AddCall>;
  private readonly lanes: Lanes<AddCall, AddLane>;

  constructor(rpc: Rpc, participant: string) {
    this.rpc = rpc;
    this.participant = participant;
    this.calls = new TokenCalls(rpc, this);
    this.lanes = new Lanes(rpc.environment.clock, () => new AddLane(rpc, participant, this.calls));
  }

  /** Resolves with the value after it, of a strong counter. */
  add(counter: string, amount: bigint, options: Omit<TokenCallOptions, 'bytes'>): Promise<bigint | undefined> {
    const call = new AddCall(counter, amount, { ...options, bytes: ADD_BYTES + counter.length * BYTES_PER_UNIT });
    this.calls.start(call);
    return call.promise;
  }

  admit(call: AddCall): boolean {
    const lane = this.lanes.current();
    lane?.send(call);
    return lane !== undefined;
  }

  retry(call: AddCall): void {
    this.lanes.of(call)?.enqueue(call);
  }

  ended(call: AddCall): void {
    this.lanes.ended(call);
  }

  async complete({ session, sequence, counter, amount }: AddCall, { signal, timeoutMs }: CallOptions): Promise<void> {
    const { rpc, participant } = this;
    const token = { session: session!.id, sequence, settledBelow: Math.min(session!.settledBelow, sequence) };
    const route = { service: participant, routingKey: counter };
    await rpc.call(methods.add, { participant, counter, amount, token, transaction: undefined }, { signal, timeoutMs, route });
  }

  /** Whatever is under way fails. */
  close(): void {
    this.calls.close();
    this.lanes.close();
  }
}
