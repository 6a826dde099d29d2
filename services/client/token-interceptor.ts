/** Shows the connection's token with every call, and lets streams go on whose token has expired. */

import * as grpc from '@grpc/grpc-js';
import { failureToServiceError, serviceErrorToFailure } from '../runtime/errors/status.ts';
import { isLoopback } from '../runtime/transport/loopback.ts';
import { NEVER_SENT } from './errors.ts';
import { TOKEN_RETRY_MS, type TokenSource } from './token-source.ts';

export interface TokenUse {
  readonly source: TokenSource;
  /** host:port of the calls. */
  readonly address: string;
  readonly encrypted: boolean;
}

const HEADER = 'authorization';

/** A token is sent over TLS, and over loopback. */
export function tokenInterceptor({ source, address, encrypted }: TokenUse): grpc.Interceptor {
  const refusal = encrypted || isLoopback(address) ? undefined : notSent(`a token is not sent to ${address} without TLS: give the connection credentials`);
  return (options, nextCall) => {
    if (refusal !== undefined) return refusedCall(nextCall(options), refusal);
    const given = source.get();
    const awaited = typeof given === 'string' ? undefined : new AwaitedToken(given);
    const call = nextCall(awaited === undefined ? options : { ...options, credentials: awaited.credentials });
    return new grpc.InterceptingCall(call, {
      start(metadata, _listener, next) {
        if (typeof given === 'string') metadata.set(HEADER, bearer(given));
        next(metadata, {
          onReceiveStatus(status, pass) {
            const why = awaited?.whyNone(status);
            if (why !== undefined) return pass(notSent(`there is no token: ${why}`, TOKEN_RETRY_MS));
            const shown = typeof given === 'string' ? given : awaited?.token;
            if (status.code === grpc.status.UNAUTHENTICATED && shown !== undefined) source.forget(shown);
            pass(isExpiredStream(status) ? { ...status, ...RECONNECT } : status);
          },
        });
      },
    });
  };
}

/**
 * A token that is not there yet, as credentials of gRPC, which waits for them after it has begun a call: so
 * its deadline and whoever cancels it end the wait.
 */
class AwaitedToken {
  readonly credentials: grpc.CallCredentials;
  token: string | undefined;
  private failure: string | undefined;

  constructor(pending: Promise<string>) {
    pending.catch(() => undefined); // Where the call ends sooner, nobody waits for it.
    this.credentials = grpc.credentials.createFromMetadataGenerator((_, callback) => {
      pending.then(
        (token) => {
          this.token = token;
          const metadata = new grpc.Metadata();
          metadata.set(HEADER, bearer(token));
          callback(null, metadata);
        },
        (thrown: unknown) => {
          const error = thrown instanceof Error ? thrown : new Error(String(thrown));
          this.failure = error.message;
          callback(error);
        },
      );
    });
  }

  /** Why there is none, if that is what has ended the call. */
  whyNone({ code }: grpc.StatusObject): string | undefined {
    if (this.failure !== undefined) return this.failure;
    return this.token === undefined && code === grpc.status.DEADLINE_EXCEEDED ? 'its function has not answered yet' : undefined;
  }
}

/** A call that ends before it begins. Whoever makes it hears of it later, as of every other end: it listens by then. */
function refusedCall(call: ReturnType<Parameters<grpc.Interceptor>[1]>, status: grpc.StatusObject): grpc.InterceptingCall {
  // It is never started, but its deadline runs from now on.
  call.cancelWithStatus(status.code, status.details);
  return new grpc.InterceptingCall(call, {
    start: (_, listener) => process.nextTick(() => listener.onReceiveStatus(status)),
  });
}

/** @param retryAfterMs absent: the same again would fail too */
function notSent(message: string, retryAfterMs?: number): grpc.StatusObject {
  const failure = { reason: 'NOT_AUTHENTICATED', message, metadata: NEVER_SENT, ...(retryAfterMs !== undefined && { retryAfterMs }) } as const;
  const { code, details = message, metadata = new grpc.Metadata() } = failureToServiceError(failure);
  return { code, details, metadata };
}

const bearer = (token: string): string => `Bearer ${token}`;

/** As after a lost connection: what was under way is asked for again, with another token. */
const RECONNECT = { code: grpc.status.UNAVAILABLE, details: "the stream's token has expired", metadata: new grpc.Metadata() };

function isExpiredStream(status: grpc.StatusObject): boolean {
  if (status.code !== grpc.status.UNAUTHENTICATED) return false;
  const { reason, metadata } = serviceErrorToFailure(status);
  return reason === 'TOKEN_EXPIRED' && metadata?.['stream'] === 'ended';
}
