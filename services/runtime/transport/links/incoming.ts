/**
 * The participants' end of links: serves Exchange. Messages go to the terms led here, answers to the
 * stream on which the coordinator partition was heard of last.
 */

import type { Failure } from '../../../kernel/failure.ts';
import type { ToCoordinator, ToParticipant } from '../../../kernel/messages.ts';
import { FailureError } from '../../errors/failure-error.ts';
import type { RequestMeter } from '../../telemetry/metrics/requests.ts';
import type { CallContext, Duplex } from '../service.ts';
import { encodeResponseFrame } from './encode-codec.ts';
import type { RequestFrame } from './frames.ts';
import { Outbox } from './outbox.ts';
import { foreignCluster } from './plain-codec.ts';
import type { LinkSettings } from './types.ts';

export interface IncomingOptions {
  readonly clusterId: string;
  readonly settings: LinkSettings;
  /** Counts the messages that come in, by whether a term took them. Absent: nobody counts. */
  readonly requests?: RequestMeter | undefined;
  /** Marks of a frame, before its messages. */
  onMarks(marks: RequestFrame['marks']): void;
  /** Hands a message to a term, or says what to answer. */
  deliver(message: ToParticipant): ToCoordinator | undefined;
}

/** The stream on which a coordinator partition speaks, and the highest epoch it was heard with. */
interface Route {
  epoch: number;
  stream: IncomingStream;
}

export class Incoming {
  private readonly options: IncomingOptions;
  private readonly routes = new Map<number, Route>();

  constructor(options: IncomingOptions) {
    this.options = options;
  }

  /** The epoch of the coordinator partition's leader at the other end of a stream; 0 if none is known. */
  epoch(coordinatorPartition: number): number {
    return this.routes.get(coordinatorPartition)?.epoch ?? 0;
  }

  /** False if no stream leads there, or it takes no more. */
  send(message: ToCoordinator): boolean {
    return this.routes.get(message.branch.coordinatorPartition)?.stream.send(message) ?? false;
  }

  /** Serves ParticipantService.Exchange. */
  readonly exchange = async (call: Duplex<RequestFrame, Buffer>, _context: CallContext): Promise<void> => {
    const stream = new IncomingStream(call, this.options);
    try {
      await call.receive((frame) => this.take(frame, stream));
    } finally {
      stream.close();
      for (const [partition, route] of this.routes) if (route.stream === stream) this.routes.delete(partition);
    }
  };

  private take(frame: RequestFrame, stream: IncomingStream): void {
    const { clusterId, requests, onMarks, deliver } = this.options;
    if (frame.clusterId !== clusterId) throw new FailureError(foreignCluster(frame.clusterId, clusterId));
    for (const { coordinatorPartition, lowWaterMark } of frame.marks)
      this.learn(coordinatorPartition, lowWaterMark.epoch, stream);
    if (frame.marks.length > 0) onMarks(frame.marks);
    for (const message of frame.messages) {
      this.learn(message.branch.coordinatorPartition, message.branch.attempt.epoch, stream);
      const answer = deliver(message);
      if (answer?.type === 'undelivered') requests?.failed(answer.failure.reason);
      else requests?.ended(0);
      if (answer !== undefined) stream.send(answer);
    }
  }

  /**
   * A leader never speaks of an epoch above its own, so whoever names the highest is the latest. Only
   * where nobody leads yet does an attempt of an earlier epoch, in its phase 2, show the way.
   */
  private learn(coordinatorPartition: number, epoch: number, stream: IncomingStream): void {
    const route = this.routes.get(coordinatorPartition);
    if (route === undefined) this.routes.set(coordinatorPartition, { epoch, stream });
    else if (epoch >= route.epoch) {
      route.epoch = epoch;
      route.stream = stream;
    }
  }
}

class IncomingStream {
  private readonly call: Duplex<RequestFrame, Buffer>;
  private readonly clusterId: string;
  private readonly outbox: Outbox<ToCoordinator>;
  private flushing = false;
  private blocked = false;
  private closed = false;

  constructor(call: Duplex<RequestFrame, Buffer>, { clusterId, settings }: IncomingOptions) {
    this.call = call;
    this.clusterId = clusterId;
    this.outbox = new Outbox(settings);
    // The other end sends nothing before it hears that this one is there, and of which cluster.
    this.call.write(encodeResponseFrame({ clusterId, messages: [] }));
  }

  send(message: ToCoordinator): boolean {
    if (this.closed || !this.outbox.add(message)) return false;
    if (!this.flushing && !this.blocked) {
      this.flushing = true;
      setImmediate(() => {
        this.flushing = false;
        this.flush();
      });
    }
    return true;
  }

  close(): void {
    this.closed = true;
  }

  private flush(): void {
    while (!this.closed && !this.blocked && this.outbox.length > 0) {
      const messages = this.outbox.take();
      if (this.call.write(encodeResponseFrame({ clusterId: this.clusterId, messages }))) continue;
      this.blocked = true;
      void this.call.drained().then(() => {
        this.blocked = false;
        this.flush();
      });
    }
  }
}

/** The partition is not led here: surely not executed. */
export function notLed(participant: string, partition: number): Failure {
  return {
    reason: 'NO_LEADER',
    message: `partition ${partition} of ${participant} is not led by the replica that was asked`,
    retryAfterMs: 100,
  };
}
