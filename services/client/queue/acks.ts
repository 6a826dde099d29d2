/** Acknowledgements and deadlines on their way to the server. */

import { QueueServiceService as methods, type AckFailure } from '../../gen/txmesh/queue/v1/queue.ts';
import { OutcomeUnknown, TxmeshError } from '../errors.ts';
import type { Rpc } from '../rpc.ts';
import { errorFromStatus } from '../status-codec.ts';
import { duration } from './message.ts';

/** Most of either kind in one message. */
export const FRAME_ACKS = 10_000;

/** An acknowledgement, or a deadline to move. */
export interface AckRequest {
  readonly ackId: string;
  /** Undefined: acknowledge. 0: a negative acknowledgement. */
  readonly deadlineMs: number | undefined;
  /** An earlier try may have been carried out. */
  open: boolean;
  /** Called once: it is carried out, durably, or it can't be. */
  done(error?: TxmeshError): void;
}

/** Why it was not carried out. After a lost answer, too late may mean that it came in time before. */
export function ackError({ ackId, status }: AckFailure, open: boolean): TxmeshError {
  const error = errorFromStatus(status);
  if (!open || error.reason !== 'ACK_EXPIRED') return error;
  const message = `it is not known whether the acknowledgement of ${ackId} came in time: its first answer was lost, and then: ${error.message}`;
  return new OutcomeUnknown({ reason: 'OUTCOME_UNKNOWN', message, cause: error });
}

/** Sends by unary calls what was asked for in one turn of the event loop. */
export class UnaryAcks {
  private readonly rpc: Rpc;
  private readonly participant: string;
  private readonly subscription: string;
  private requests: AckRequest[] = [];

  constructor(rpc: Rpc, participant: string, subscription: string) {
    this.rpc = rpc;
    this.participant = participant;
    this.subscription = subscription;
  }

  send(request: AckRequest): void {
    this.requests.push(request);
    if (this.requests.length === 1) setImmediate(() => this.flush());
  }

  private flush(): void {
    const byDeadline = Map.groupBy(this.requests, ({ deadlineMs }) => deadlineMs);
    this.requests = [];
    for (const [deadlineMs, requests] of byDeadline) {
      for (let i = 0; i < requests.length; i += FRAME_ACKS) void this.carryOut(deadlineMs, requests.slice(i, i + FRAME_ACKS));
    }
  }

  private async carryOut(deadlineMs: number | undefined, requests: readonly AckRequest[]): Promise<void> {
    const { rpc, participant, subscription } = this;
    const request = { participant, subscription, ackIds: requests.map(({ ackId }) => ackId) };
    const options = { route: { service: participant, routingKey: subscription } };
    try {
      const { failures } =
        deadlineMs === undefined
          ? await rpc.call(methods.acknowledge, request, options)
          : await rpc.call(methods.modifyAckDeadline, { ...request, ackDeadline: duration(deadlineMs, 'deadlineMs') }, options);
      const byId = new Map(failures.map((failure) => [failure.ackId, failure]));
      for (const { ackId, open, done } of requests) {
        const failure = byId.get(ackId);
        done(failure && ackError(failure, open));
      }
    } catch (error) {
      for (const { done } of requests) done(error as TxmeshError);
    }
  }
}
