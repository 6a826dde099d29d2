/**
 * Where calls are decided about before their handlers see them. The transport asks, runtime/security
 * answers. A server without a guard takes every call.
 */

import type { Failure } from '../../kernel/failure.ts';
import type { ServerCall } from './context.ts';

export interface Guard {
  /** What every call of one method goes through. @param path "/txmesh.keyvalue.v1.KeyValueService/Get" */
  of(path: string): Door;
}

export interface Door {
  /** Who calls, and may it call this method at all. The promise, where there is one, never rejects. */
  admit(call: ServerCall): Visit | Refused | Promise<Visit | Refused>;
}

/** The call is over before it began. */
export class Refused {
  readonly failure: Failure;

  constructor(failure: Failure) {
    this.failure = failure;
  }
}

/** A call that was admitted. */
export interface Visit {
  /** Of the one request of a call: why it may not be executed. @param bytes of the request on the wire */
  check(request: unknown, bytes: number): Failure | undefined;
  /** Of a stream: begins it. From now on it may be ended or slowed down. */
  open(stream: GuardedStream): void;
  /**
   * Of each message of a stream: what of it may be executed; undefined: nothing of it.
   * @throws FailureError where the stream ends with it
   */
  take(request: unknown, bytes: number): unknown;
  /** The call is over. Called once. */
  leave(): void;
}

/** What a guard may do with a stream. */
export interface GuardedStream {
  /** Sends an answer of the guard's own, before anything more is taken from who does not read. */
  answer(response: unknown): void;
  pause(): void;
  resume(): void;
  end(failure: Failure): void;
}

/** A decoded request and its size. */
export class Measured {
  readonly request: unknown;
  readonly bytes: number;

  constructor(request: unknown, bytes: number) {
    this.request = request;
    this.bytes = bytes;
  }
}

/** A deserializer that says how long the request was. */
export function measured(deserialize: (bytes: Buffer) => unknown): (bytes: Buffer) => Measured {
  return (bytes) => new Measured(deserialize(bytes), bytes.length);
}
