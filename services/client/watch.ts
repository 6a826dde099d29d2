/** Streams of events that go on by themselves after a lost connection. */

import type * as grpc from '@grpc/grpc-js';
import { backoffDelayMs, CONNECTION_BACKOFF } from './backoff.ts';
import { sleep } from './deadline.ts';
import { cancelled, meaningOf, type TxmeshError } from './errors.ts';
import { isConnectionLoss, type Rpc } from './rpc.ts';
import { errorFromGrpc } from './status-codec.ts';

export interface Watched<Response> {
  /** For messages. */
  readonly what: string;
  readonly signal: AbortSignal | undefined;
  /** Opens the stream, at a position after all that was yielded. */
  open(address: string): grpc.ClientReadableStream<Response>;
  /** Where to open it. */
  address(): string;
  /** Told why a stream has ended that is opened again. */
  onRetry?(error: TxmeshError): void;
}

/**
 * Yields the messages of one stream after the other. Ends when the consumer stops the iteration.
 * @throws Cancelled when the signal fires; the server's error when going on is no use.
 */
export async function* watch<Response>(rpc: Rpc, watched: Watched<Response>): AsyncGenerator<Response, never, undefined> {
  const { what } = watched;
  const signal = watched.signal === undefined ? rpc.closed : AbortSignal.any([watched.signal, rpc.closed]);
  const { clock, entropy } = rpc.environment;
  for (let failures = 0; ; ) {
    if (signal.aborted) throw cancelled(signal, what);
    const address = watched.address();
    const stream = watched.open(address);
    const cancel = (): void => stream.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    let retryAfterMs: number | undefined;
    try {
      for await (const message of stream as AsyncIterable<Response>) {
        failures = 0;
        yield message;
      }
    } catch (thrown) {
      if (signal.aborted) throw cancelled(signal, what);
      const error = errorFromGrpc(thrown as grpc.ServiceError);
      const meaning = meaningOf(error);
      if (meaning === 'refused' || meaning === 'defect') throw error;
      if (isConnectionLoss(error)) rpc.map.avoid(address);
      retryAfterMs = error.retryAfterMs;
      watched.onRetry?.(error);
    } finally {
      signal.removeEventListener('abort', cancel);
      stream.cancel();
    }
    await sleep(clock, backoffDelayMs(CONNECTION_BACKOFF, ++failures, entropy(), retryAfterMs), signal);
  }
}
