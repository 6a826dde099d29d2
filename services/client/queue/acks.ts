/** Acknowledgements and deadlines on their way to the server. */

import { QueueServiceService as methods, type AckFailure } from '../../gen/txmesh/queue/v1/queue.ts';
import { backoffDelayMs, CONNECTION_BACKOFF } from '../backoff.ts';
import { meaningOf, OutcomeUnknown, TxmeshError } from '../errors.ts';
import type { CallOptions } from '../options.ts';
import type { Rpc } from '../rpc.ts';
import { errorFromStatus } from '../status-codec.ts';
import { duration } from '../times.ts';

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

/**
 * Why it was not carried out. With `again` it may be when it is asked for once more: the partition's
 * leader was not reached, or did not answer. After a lost answer, too late may mean that it came in time
 * before.
 */
export function ackError({ ackId, status }: AckFailure, open: boolean): { readonly error: TxmeshError; readonly again: boolean } {
  const error = errorFromStatus(status);
  const meaning = meaningOf(error);
  if (meaning === 'notExecuted' || meaning === 'unknown') return { error, again: true };
  if (!open || error.reason !== 'ACK_EXPIRED') return { error, again: false };
  const message = `it is not known whether the acknowledgement of ${ackId} came in time: its first answer was lost, and then: ${error.message}`;
  return { error: new OutcomeUnknown({ reason: 'OUTCOME_UNKNOWN', message, cause: error }), again: false };
}

const CARRIED_OUT = { error: undefined, again: false } as const;

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

  /** Until each is answered, or the time of a call is over: a leader that is gone is soon replaced. */
  private async carryOut(deadlineMs: number | undefined, requests: readonly AckRequest[]): Promise<void> {
    const { rpc } = this;
    const deadline = rpc.deadline('the acknowledgement', {});
    let left = requests;
    try {
      for (let tries = 1; ; tries++) {
        const failures = await this.call(deadlineMs, left, deadline.options);
        let lastError: TxmeshError | undefined;
        left = left.filter((request) => {
          const failure = failures.get(request.ackId);
          const { error, again } = failure === undefined ? CARRIED_OUT : ackError(failure, request.open);
          if (!again) request.done(error);
          else {
            request.open ||= meaningOf(error!) === 'unknown';
            lastError = error;
          }
          return again;
        });
        if (lastError === undefined) return;
        await deadline.wait(backoffDelayMs(CONNECTION_BACKOFF, tries, rpc.environment.entropy(), lastError.retryAfterMs), lastError);
      }
    } catch (error) {
      for (const { done } of left) done(error as TxmeshError);
    }
  }

  private async call(deadlineMs: number | undefined, requests: readonly AckRequest[], limits: CallOptions): Promise<Map<string, AckFailure>> {
    const { rpc, participant, subscription } = this;
    const request = { participant, subscription, ackIds: requests.map(({ ackId }) => ackId) };
    const options = { ...limits, route: { service: participant, routingKey: subscription } };
    const { failures } =
      deadlineMs === undefined
        ? await rpc.call(methods.acknowledge, request, options)
        : await rpc.call(methods.modifyAckDeadline, { ...request, ackDeadline: duration(deadlineMs, 'deadlineMs') }, options);
    return new Map(failures.map((failure) => [failure.ackId, failure]));
  }
}
