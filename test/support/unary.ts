import type * as grpc from '@grpc/grpc-js';
import type { Failure } from '../../services/kernel/failure.ts';
import { failureToServiceError } from '../../services/runtime/errors/status.ts';

/** A handler from a function that answers, fails, or (undefined) never answers. */
export function unary<Request>(
  answer: (request: Request, call: grpc.ServerUnaryCall<Request, unknown>) => { readonly response: unknown } | { readonly failure: Failure } | undefined,
): grpc.handleUnaryCall<Request, unknown> {
  return (call, callback) => {
    const answered = answer(call.request, call);
    if (answered === undefined) return;
    if ('failure' in answered) callback(failureToServiceError(answered.failure));
    else callback(null, answered.response);
  };
}
