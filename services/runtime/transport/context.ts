import type * as grpc from '@grpc/grpc-js';
import type { Failure } from '../../kernel/failure.ts';
import { FailureError } from '../errors/failure-error.ts';
import { FORWARDED_HEADER, TRACEPARENT_HEADER, type CallContext } from './service.ts';

/** The part that grpc-js's four kinds of server call have in common. */
export interface ServerCall {
  readonly metadata: grpc.Metadata;
  readonly cancelled: boolean;
  getDeadline(): grpc.Deadline;
  getPeer(): string;
  getAuthContext?(): { readonly sslPeerCertificate?: { readonly raw: Buffer } | undefined };
  once(event: 'cancelled', listener: () => void): unknown;
}

/** What is costly is made when it is asked for: most calls never look at their signal. */
export class ServerCallContext implements CallContext {
  private readonly call: ServerCall;
  private controller: AbortController | undefined;
  private reason: Failure | undefined;

  constructor(call: ServerCall) {
    this.call = call;
  }

  get metadata(): grpc.Metadata {
    return this.call.metadata;
  }

  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.reason !== undefined || this.call.cancelled) this.abort(this.cancellation());
      else this.call.once('cancelled', () => this.abort(this.cancellation()));
    }
    return this.controller.signal;
  }

  get deadlineMs(): number {
    const deadline = this.call.getDeadline();
    return typeof deadline === 'number' ? deadline : deadline.getTime();
  }

  get traceparent(): string | undefined {
    const [value] = this.call.metadata.get(TRACEPARENT_HEADER);
    return typeof value === 'string' ? value : undefined;
  }

  get forwarded(): boolean {
    return this.call.metadata.get(FORWARDED_HEADER).length > 0;
  }

  get peer(): string {
    return this.call.getPeer();
  }

  /** Why a call that is over without an answer is over. */
  cancellation(): Failure {
    if (this.reason !== undefined) return this.reason;
    return Date.now() >= this.deadlineMs
      ? { reason: 'DEADLINE_EXCEEDED', message: "the caller's deadline has passed" }
      : { reason: 'CANCELLED', message: 'the caller has cancelled or its connection is lost' };
  }

  abort(reason: Failure): void {
    this.reason ??= reason;
    this.controller?.abort(new FailureError(this.reason));
  }
}
