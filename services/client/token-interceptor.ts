/** Shows the connection's token with every call, and lets streams go on whose token has expired. */

import * as grpc from '@grpc/grpc-js';
import { serviceErrorToFailure } from '../runtime/errors/status.ts';
import type { TokenSource } from './token-source.ts';

export interface TokenUse {
  readonly source: TokenSource;
  /** host:port of the calls. */
  readonly address: string;
  readonly encrypted: boolean;
}

/** A token is sent over TLS, and over loopback. */
export function tokenInterceptor({ source, address, encrypted }: TokenUse): grpc.Interceptor {
  const sends = encrypted || isLoopback(address);
  return (options, nextCall) => {
    let shown = '';
    return new grpc.InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        const watching: grpc.Listener = {
          onReceiveStatus(status, pass) {
            if (status.code === grpc.status.UNAUTHENTICATED) source.forget(shown);
            pass(isExpiredStream(status) ? { ...status, ...RECONNECT } : status);
          },
        };
        const refuse = (details: string): void => {
          // Nobody hears of the call; who made it hears this.
          listener.onReceiveStatus({ code: grpc.status.UNAUTHENTICATED, details, metadata: new grpc.Metadata() });
        };
        const send = (token: string): void => {
          shown = token;
          metadata.set('authorization', `Bearer ${token}`);
          next(metadata, watching);
        };
        if (!sends) return refuse(`a token is not sent to ${address} without TLS: give the connection credentials`);
        const token = source.get();
        if (typeof token === 'string') send(token);
        else token.then(send, (error: unknown) => refuse(`there is no token: ${error instanceof Error ? error.message : String(error)}`));
      },
    });
  };
}

/** As after a lost connection: what was under way is asked for again, with another token. */
const RECONNECT = { code: grpc.status.UNAVAILABLE, details: "the stream's token has expired", metadata: new grpc.Metadata() };

function isExpiredStream(status: grpc.StatusObject): boolean {
  if (status.code !== grpc.status.UNAUTHENTICATED) return false;
  const { reason, metadata } = serviceErrorToFailure(status);
  return reason === 'TOKEN_EXPIRED' && metadata?.['stream'] === 'ended';
}

function isLoopback(address: string): boolean {
  const host = address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
