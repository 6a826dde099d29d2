/**
 * Publishes to one topic, each message once: under a session and a sequence, so that what was lost can
 * be sent again.
 */

import { QueueServiceService as methods, type Message as WireMessage } from '../../gen/txmesh/queue/v1/queue.ts';
import type { Reason } from '../errors.ts';
import { Lanes } from '../lanes.ts';
import type { CallOptions } from '../options.ts';
import type { Rpc } from '../rpc.ts';
import type { TokenCallOptions } from '../token-call.ts';
import { TokenCalls, type TokenCallOwner } from '../token-calls.ts';
import { wireBytes } from './message.ts';
import { PublishCall } from './publish-call.ts';
import { PublishLane } from './publish-lane.ts';

/** What refuses a publish is not kept: it may be in order the next time. */
const NO_REFUSALS: ReadonlySet<Reason> = new Set();

export class Publisher implements TokenCallOwner<PublishCall> {
  readonly what: string;
  readonly refusals = NO_REFUSALS;
  private readonly rpc: Rpc;
  private readonly participant: string;
  private readonly topic: string;
  private readonly calls: TokenCalls<string, PublishCall>;
  private readonly lanes: Lanes<PublishCall, PublishLane>;

  constructor(rpc: Rpc, participant: string, topic: string) {
    this.rpc = rpc;
    this.participant = participant;
    this.topic = topic;
    this.what = `the publish to ${topic}`;
    this.calls = new TokenCalls(rpc, this);
    this.lanes = new Lanes(rpc.environment.clock, () => new PublishLane(rpc, participant, topic, this.calls));
  }

  /** Nothing is under way. */
  get isIdle(): boolean {
    return this.calls.size === 0;
  }

  /** A further message would have to wait. */
  get isFull(): boolean {
    return this.calls.isFull;
  }

  /** Resolves with the message's id. */
  publish(message: WireMessage, options: Omit<TokenCallOptions, 'bytes'>): Promise<string> {
    const call = new PublishCall(message, { ...options, bytes: wireBytes(message) });
    this.calls.start(call);
    return call.promise;
  }

  admit(call: PublishCall): boolean {
    const lane = this.lanes.current();
    if (lane === undefined) return false;
    // Within an ordering key, what is under way in an older session comes first.
    if (call.key !== '' && this.lanes.some((other) => other !== lane && other.hasKey(call.key))) return false;
    lane.send(call);
    return true;
  }

  retry(call: PublishCall): void {
    this.lanes.of(call)?.retry(call);
  }

  ended(call: PublishCall): void {
    this.lanes.ended(call);
  }

  async complete({ session, sequence, message }: PublishCall, options: CallOptions): Promise<void> {
    const { rpc, participant, topic } = this;
    const { id, settledBelow } = session!;
    const request = {
      participant,
      topic,
      messages: [message],
      session: id,
      firstSequence: sequence,
      settledBelow: Math.min(settledBelow, sequence),
      partition: undefined,
      sequenceOffsets: [],
    };
    await rpc.call(methods.publish, request, { ...options, route: { service: participant, routingKey: topic } });
  }

  /** Whatever is under way fails. */
  close(): void {
    this.calls.close();
    this.lanes.close();
  }
}
