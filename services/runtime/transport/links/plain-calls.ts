/**
 * Plain calls in place of a stream: to participants that do not serve Exchange, and to coordinator
 * partitions from which no stream has come. Bounded in number, prepares by themselves: those that wait for
 * locks must not keep out the outcomes that free them. The kernels retry.
 */

import { REASONS, type Failure } from '../../../kernel/failure.ts';
import type { Mark, ToCoordinator, ToParticipant } from '../../../kernel/messages.ts';
import {
  CoordinatorServiceService,
  InquireResponse_Outcome as Outcome,
} from '../../../gen/txmesh/coordinator/v1/coordinator.ts';
import { ParticipantServiceService } from '../../../gen/txmesh/participant/v1/participant.ts';
import { FailureError } from '../../errors/failure-error.ts';
import { surelyNotExecuted } from '../../errors/status.ts';
import type { Clock } from '../../clock.ts';
import type { Channels } from '../channels.ts';
import { heuristicFromWire } from './frames.ts';
import { outcomeToWire, prepareToWire, voteFromResponse } from './plain-codec.ts';
import type { LinkSettings } from './types.ts';

export interface PlainCallsOptions {
  readonly clusterId: string;
  readonly channels: Channels;
  readonly clock: Clock;
  readonly settings: LinkSettings;
  /** The latest mark of a coordinator partition led here. */
  mark(coordinatorPartition: number): Mark | undefined;
  /** What the participant at the address has answered. */
  answered(address: string, message: ToCoordinator): void;
  /** The message was not executed, or it is not known whether it was. */
  failed(message: ToCoordinator): void;
  toParticipantTerm(message: ToParticipant): void;
}

export class PlainCalls {
  private readonly options: PlainCallsOptions;
  /** By address. */
  private readonly prepares = new Map<string, number>();
  private readonly others = new Map<string, number>();

  constructor(options: PlainCallsOptions) {
    this.options = options;
  }

  /** Takes the message, or says why it surely will not be sent. */
  toParticipant(address: string, message: ToParticipant): Failure | undefined {
    // The plain contract has no place for answers: it asks, and is answered.
    if (message.type === 'pending' || message.type === 'forget' || message.type === 'enlistAnswer') return undefined;
    return this.count(message.type === 'prepare' ? this.prepares : this.others, address, () => this.callParticipant(address, message));
  }

  toCoordinator(address: string, message: ToCoordinator & { readonly type: 'inquire' | 'enlist' }): Failure | undefined {
    return this.count(this.others, address, () => (message.type === 'inquire' ? this.inquire(address, message) : this.enlist(address, message)));
  }

  private count(inFlight: Map<string, number>, address: string, call: () => Promise<void>): Failure | undefined {
    const count = inFlight.get(address) ?? 0;
    if (count >= this.options.settings.callsInFlight)
      return { reason: 'OVERLOADED', message: `${count} calls to ${address} are under way`, retryAfterMs: 200 };
    inFlight.set(address, count + 1);
    void call().finally(() => {
      const left = inFlight.get(address)! - 1;
      if (left === 0) inFlight.delete(address);
      else inFlight.set(address, left);
    });
    return undefined;
  }

  private async callParticipant(
    address: string,
    message: ToParticipant & { readonly type: 'prepare' | 'commit' | 'abort' },
  ): Promise<void> {
    const { channels, clock, settings, clusterId, mark, answered, failed } = this.options;
    const { branch } = message;
    const nowMs = clock.nowMs();
    const deadlineMs = nowMs + settings.callMs;
    const known = mark(branch.coordinatorPartition);
    const traceparent = message.trace;
    try {
      if (message.type === 'prepare') {
        const request = prepareToWire(message, clusterId, known, nowMs);
        const options = { deadlineMs: Math.min(message.deadlineMs, deadlineMs), traceparent };
        answered(address, voteFromResponse(branch, await channels.unary(address, ParticipantServiceService.prepare, request, options)));
        return;
      }
      const method = message.type === 'commit' ? ParticipantServiceService.commit : ParticipantServiceService.abort;
      const request = outcomeToWire(branch, traceparent, clusterId, known);
      const { heuristic } = await channels.unary(address, method, request, { deadlineMs, traceparent });
      answered(address, { type: 'acknowledge', branch, heuristic: heuristicFromWire(heuristic) });
    } catch (error) {
      const failure = failureOf(error);
      if (message.type !== 'prepare' || surelyNotExecuted(failure))
        // Commit and abort are idempotent, so the kernel may be told of every failure and show it.
        failed({ type: 'undelivered', branch, failure });
      else if (isRefusal(failure)) answered(address, { type: 'vote', branch, vote: 'no', cause: failure });
      // Else the vote is lost: whether the branch is prepared is not known.
    }
  }

  private async inquire(address: string, { branch }: ToCoordinator): Promise<void> {
    const { toParticipantTerm } = this.options;
    try {
      const { outcome } = await this.options.channels.unary(address, CoordinatorServiceService.inquire, branch, this.inTime());
      if (outcome === Outcome.COMMITTED) toParticipantTerm({ type: 'commit', branch });
      else if (outcome === Outcome.ABORTED) toParticipantTerm({ type: 'abort', branch });
      else if (outcome === Outcome.PENDING) toParticipantTerm({ type: 'pending', branch });
    } catch {
      // No answer settles nothing (invariant T4); the kernel asks again.
    }
  }

  private async enlist(address: string, message: ToCoordinator & { readonly type: 'enlist' }): Promise<void> {
    const { branch, epoch } = message;
    try {
      await this.options.channels.unary(address, CoordinatorServiceService.enlist, { ...branch, epoch }, this.inTime());
      this.options.toParticipantTerm({ type: 'enlistAnswer', branch });
    } catch (error) {
      const failure = failureOf(error);
      // Without a definite answer the branch may be enlisted: the kernel asks again.
      if (isRefusal(failure)) this.options.toParticipantTerm({ type: 'enlistAnswer', branch, refusal: failure });
    }
  }

  private inTime(): { readonly deadlineMs: number } {
    return { deadlineMs: this.options.clock.nowMs() + this.options.settings.callMs };
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof FailureError) return error.failure;
  return { reason: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

/** Whether the other end has looked at the request and declined it. */
function isRefusal(failure: Failure): boolean {
  switch (REASONS[failure.reason]) {
    case 'INVALID_ARGUMENT':
    case 'NOT_FOUND':
    case 'ALREADY_EXISTS':
    case 'FAILED_PRECONDITION':
    case 'OUT_OF_RANGE':
    case 'ABORTED':
    case 'PERMISSION_DENIED':
    case 'UNAUTHENTICATED':
      return true;
    case 'INTERNAL':
      // What gRPC statuses without a reason of ours become; see errors/status.ts.
      return REFUSING_STATUSES.has(failure.metadata?.status ?? '');
    default:
      return false;
  }
}

const REFUSING_STATUSES = new Set(['NOT_FOUND', 'ALREADY_EXISTS', 'UNIMPLEMENTED', 'OUT_OF_RANGE']);
