/**
 * The coordinator's end of a link: one Exchange stream to one address, kept open, with everything that
 * was sent in one turn of the event loop in one frame. What surely was not sent comes back; what was
 * written to a stream that then broke is lost, as a network may lose it.
 */

import * as grpc from '@grpc/grpc-js';
import type { Failure } from '../../../kernel/failure.ts';
import type { Mark, ToCoordinator, ToParticipant } from '../../../kernel/messages.ts';
import { serviceErrorToFailure } from '../../errors/status.ts';
import type { Clock, Timer } from '../../clock.ts';
import type { Channels } from '../channels.ts';
import { exchangeMethod } from './definition.ts';
import { encodeRequestFrame } from './encode-codec.ts';
import type { ResponseFrame } from './frames.ts';
import { Outbox } from './outbox.ts';
import { foreignCluster } from './plain-codec.ts';
import type { LinkSettings } from './types.ts';

export interface OutgoingOptions {
  readonly address: string;
  readonly clusterId: string;
  readonly channels: Channels;
  readonly clock: Clock;
  readonly settings: LinkSettings;
  entropy(): number;
  /** The marks of the coordinator partitions led here. */
  marks(): readonly Mark[];
  /** Changes when the marks can't wait. */
  generation(): number;
  /** What a frame from the other end has brought. */
  onMessages(messages: readonly ToCoordinator[]): void;
  /** The link is down; these messages were surely not sent. `unimplemented`: it will never be up. */
  onDown(unsent: readonly ToParticipant[], failure: Failure, unimplemented: boolean): void;
  log(message: string, fields: Record<string, unknown>): void;
}

type Stream = grpc.ClientDuplexStream<Buffer, ResponseFrame>;

type State =
  | { readonly type: 'connecting'; readonly stream: Stream; readonly timer: Timer }
  | { readonly type: 'open'; readonly stream: Stream }
  | { readonly type: 'waiting'; readonly timer: Timer; readonly failure: Failure }
  | { readonly type: 'closed' };

export class OutgoingLink {
  private readonly options: OutgoingOptions;
  private readonly outbox: Outbox<ToParticipant>;
  private state: State;
  private failures = 0;
  private flushing = false;
  /** What was written has not left: wait for it. */
  private blocked = false;
  private marksSentMs = -Infinity;
  private marksGeneration = -1;
  private frameSinceHeartbeat = false;

  constructor(options: OutgoingOptions) {
    this.options = options;
    this.outbox = new Outbox(options.settings);
    this.state = this.connect();
  }

  get isOpen(): boolean {
    return this.state.type === 'open';
  }

  /** Takes the message, or says why it surely will not be sent. */
  send(message: ToParticipant): Failure | undefined {
    const { state } = this;
    if (state.type === 'waiting') return state.failure;
    if (state.type === 'closed') return unreachable(this.options.address, 'the replica has left');
    if (!this.outbox.add(message))
      return {
        reason: 'OVERLOADED',
        message: `${this.outbox.length} messages wait for ${this.options.address} to take them`,
        retryAfterMs: 100,
      };
    this.flushSoon();
    return undefined;
  }

  /** Called about once a second: says that this end is there, and its marks, if nothing else did. */
  heartbeat(): void {
    if (!this.frameSinceHeartbeat && this.state.type === 'open' && !this.blocked) this.write([]);
    this.frameSinceHeartbeat = false;
  }

  /** Ends the link. Messages that wait come back through `onDown`. */
  close(reason: string): void {
    const { state } = this;
    if (state.type === 'closed') return;
    this.state = { type: 'closed' };
    if (state.type === 'waiting' || state.type === 'connecting') state.timer.cancel();
    if (state.type === 'connecting' || state.type === 'open') state.stream.cancel();
    const unsent = this.outbox.takeAll();
    if (unsent.length > 0) this.options.onDown(unsent, unreachable(this.options.address, reason), false);
  }

  private connect(): State {
    const { address, channels, clock, clusterId, settings } = this.options;
    let stream: Stream;
    try {
      stream = channels.duplex(address, exchangeMethod);
    } catch {
      return this.wait(unreachable(address, 'there are too many connections'));
    }
    const down = (failure: Failure, unimplemented = false): void => this.down(stream, failure, unimplemented);
    stream.on('data', (frame: ResponseFrame) => {
      if (frame.clusterId !== clusterId) return down(foreignCluster(frame.clusterId, clusterId));
      this.opened(stream);
      this.options.onMessages(frame.messages);
    });
    stream.on('metadata', () => this.opened(stream));
    stream.on('error', (error: grpc.ServiceError) =>
      down(serviceErrorToFailure(error), error.code === grpc.status.UNIMPLEMENTED),
    );
    stream.on('end', () => down(unreachable(address, 'it has ended the stream')));
    stream.on('drain', () => {
      this.blocked = false;
      this.flush();
    });
    // Not every implementation answers before it has something to say: then a connection is enough.
    const timer = clock.setTimer(settings.connectMs, () => {
      if (channels.isConnected(address)) this.opened(stream);
      else down(unreachable(address, `there was no answer within ${settings.connectMs} ms`));
    });
    this.blocked = false;
    this.marksSentMs = clock.monotonicMs();
    this.marksGeneration = this.options.generation();
    // The other end learns at once who is there and what is led here.
    stream.write(encodeRequestFrame({ clusterId, marks: this.options.marks(), messages: [] }, clock.nowMs()));
    return { type: 'connecting', stream, timer };
  }

  private opened(stream: Stream): void {
    if (this.state.type !== 'connecting' || this.state.stream !== stream) return;
    this.state.timer.cancel();
    this.state = { type: 'open', stream };
    this.failures = 0;
    this.options.log('link up', { address: this.options.address });
    this.flushSoon();
  }

  private down(stream: Stream, failure: Failure, unimplemented: boolean): void {
    const { state } = this;
    if ((state.type !== 'connecting' && state.type !== 'open') || state.stream !== stream) return;
    if (state.type === 'connecting') state.timer.cancel();
    stream.cancel();
    if (this.failures === 0 || state.type === 'open')
      this.options.log('link down', { address: this.options.address, reason: failure.message });
    // Whatever became of what was written before: what waits here was surely not sent.
    const unsent: Failure =
      failure.reason === 'FOREIGN_CLUSTER' ? { ...failure, retryAfterMs: 1000 } : unreachable(this.options.address, failure.message);
    this.state = this.wait(unsent);
    this.options.onDown(this.outbox.takeAll(), unsent, unimplemented);
  }

  /** Exponential backoff with full jitter. */
  private wait(failure: Failure): State {
    const { settings, clock, entropy } = this.options;
    const capMs = Math.min(settings.reconnectCapMs, settings.reconnectMs * 2 ** Math.min(this.failures++, 16));
    const timer = clock.setTimer(entropy() * capMs, () => {
      if (this.state.type === 'waiting') this.state = this.connect();
    });
    return { type: 'waiting', timer, failure };
  }

  private flushSoon(): void {
    if (this.flushing || this.blocked || this.state.type !== 'open') return;
    this.flushing = true;
    // Behind all that this turn of the event loop still sends.
    setImmediate(() => {
      this.flushing = false;
      this.flush();
    });
  }

  private flush(): void {
    while (this.state.type === 'open' && !this.blocked && this.outbox.length > 0) this.write(this.outbox.take());
  }

  private write(messages: readonly ToParticipant[]): void {
    if (this.state.type !== 'open') return;
    const { clock, clusterId } = this.options;
    const marks = messages.length === 0 || this.marksAreDue() ? this.options.marks() : [];
    this.frameSinceHeartbeat = true;
    this.blocked = !this.state.stream.write(encodeRequestFrame({ clusterId, marks, messages }, clock.nowMs()));
  }

  private marksAreDue(): boolean {
    const { clock, settings, generation } = this.options;
    const nowMs = clock.monotonicMs();
    if (generation() === this.marksGeneration && nowMs < this.marksSentMs + settings.markMs) return false;
    this.marksSentMs = nowMs;
    this.marksGeneration = generation();
    return true;
  }
}

export function unreachable(address: string, reason: string): Failure {
  return { reason: 'NO_LEADER', message: `${address} can't be reached: ${reason}`, retryAfterMs: 100 };
}
