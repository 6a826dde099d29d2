import type { Failure } from '../../kernel/failure.ts';

/** A {@link Failure} on its way to a caller: handlers throw it, clients of other replicas catch it. */
export class FailureError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure, options?: ErrorOptions) {
    super(failure.message, options);
    this.name = 'FailureError';
    this.failure = failure;
  }
}
