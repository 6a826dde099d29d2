/**
 * Calls to etcd through the low-level clients of etcd3, under our own deadlines and our own reading of
 * errors. One etcd3 client an endpoint: all calls go to one endpoint until it fails them, then to the
 * next.
 */
import type { ClientDuplexStream, Metadata, ServiceError } from '@grpc/grpc-js';
import type { Etcd3 } from 'etcd3';
import { buildEtcdClients, poolOf, type EtcdSettings } from './etcd-clients.ts';
import { classifyEtcdError, type EtcdFailure } from './etcd-errors.ts';

export type Service = 'KV' | 'Lease' | 'Watch' | 'Maintenance';
export type Stream<Request extends object, Response extends object> = ClientDuplexStream<Request, Response>;

export interface CallOptions {
  /** A read may be sent again after an error that leaves open whether it was executed. */
  readonly read?: boolean;
  readonly timeoutMs?: number;
}

/** What etcd3 loads from the .proto files, as far as it is used here. */
type UnaryMethod = (
  payload: object,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: ServiceError | null, response?: object) => void,
) => void;
type StreamMethod<Request extends object, Response extends object> = (
  metadata: Metadata,
  options: { deadline?: number },
) => Stream<Request, Response>;

const MOST_TOKENS_A_CALL = 2;

export class EtcdFailed extends Error {
  readonly failure: EtcdFailure;

  constructor(failure: EtcdFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

export class EtcdConnection {
  readonly #settings: EtcdSettings;
  readonly #moveListeners = new Set<() => void>();
  readonly #clients: readonly Etcd3[];
  #current = 0;

  /** @throws StoreUnusable when a certificate file can't be used. */
  constructor(settings: EtcdSettings) {
    this.#settings = settings;
    this.#clients = buildEtcdClients(settings);
  }

  /** @throws EtcdFailed when no endpoint would execute it, or it is not known whether one has. */
  async call<Response extends object>(service: Service, method: string, payload: object, options: CallOptions = {}): Promise<Response> {
    const timeoutMs = options.timeoutMs ?? this.#settings.requestTimeoutMs;
    const lastMoment = this.#settings.clock.monotonicMs() + timeoutMs;
    const attempts = options.read === true ? Math.max(2, this.#clients.length) : this.#clients.length;
    // One endpoint that hangs must not use up all of a read's time.
    const attemptMs = options.read === true ? timeoutMs / 2 : timeoutMs;
    for (let attempt = 1; ; attempt++) {
      const index = this.#current % this.#clients.length;
      const leftMs = Math.max(1, lastMoment - this.#settings.clock.monotonicMs());
      const result = await this.#callOne<Response>(this.#clients[index]!, service, method, payload, Math.min(attemptMs, leftMs));
      if ('response' in result) return result.response;
      const { failure } = result;
      const elsewhere = failure.type === 'not-executed' || failure.type === 'unknown';
      if (elsewhere) this.#leave(index);
      const repeatable = failure.type === 'not-executed' || (failure.type === 'unknown' && options.read === true);
      if (!repeatable || attempt >= attempts || this.#settings.clock.monotonicMs() >= lastMoment) throw new EtcdFailed(failure);
    }
  }

  /** A stream to the current endpoint; when it breaks, tell by {@link streamFailed}. */
  async stream<Request extends object, Response extends object>(
    service: Service,
    method: string,
    timeoutMs?: number,
  ): Promise<{ stream: Stream<Request, Response>; endpoint: number }> {
    const endpoint = this.#current % this.#clients.length;
    const pool = poolOf(this.#clients[endpoint]!);
    try {
      const opened = await pool.withConnection(service, async ({ client, metadata }) => {
        const withLeader = metadata.clone();
        // A member cut off from the others ends the stream instead of staying silent.
        withLeader.set('hasleader', 'true');
        const open = Reflect.get(client, method) as StreamMethod<Request, Response>;
        return { stream: open.call(client, withLeader, timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs }) };
      });
      return { stream: opened.stream, endpoint };
    } catch (error) {
      this.#leave(endpoint);
      throw new EtcdFailed(notSent(error));
    }
  }

  streamFailed(endpoint: number, error: unknown): EtcdFailure {
    const failure = classifyEtcdError(error);
    if (failure.type === 'token-ended') poolOf(this.#clients[endpoint % this.#clients.length]!).authenticator.invalidateMetadata();
    else this.#leave(endpoint);
    return failure;
  }

  /**
   * Called when calls go to another endpoint from now on. Streams should be opened anew: one to an
   * endpoint that fails calls may stay silent for long before it breaks.
   */
  onMove(listener: () => void): () => void {
    this.#moveListeners.add(listener);
    return () => this.#moveListeners.delete(listener);
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  async #callOne<Response extends object>(
    client: Etcd3,
    service: Service,
    method: string,
    payload: object,
    timeoutMs: number,
  ): Promise<{ response: Response } | { failure: EtcdFailure }> {
    const pool = poolOf(client);
    for (let token = 1; ; token++) {
      let result: { response: Response } | { failure: EtcdFailure };
      try {
        // The inner promise never rejects, so etcd3 neither renames our errors nor resets its host.
        result = await pool.withConnection(service, ({ client: stub, metadata }) => unary<Response>(stub, method, payload, metadata, timeoutMs));
      } catch (error) {
        return { failure: notSent(error) };
      }
      if (!('failure' in result) || result.failure.type !== 'token-ended' || token >= MOST_TOKENS_A_CALL) return result;
      pool.authenticator.invalidateMetadata();
    }
  }

  /** Several calls fail at once when an endpoint does; only the first of them moves on. */
  #leave(index: number): void {
    if (this.#current % this.#clients.length !== index) return;
    this.#current = (index + 1) % this.#clients.length;
    for (const listener of this.#moveListeners) listener();
  }
}

function unary<Response extends object>(
  stub: object,
  method: string,
  payload: object,
  metadata: Metadata,
  timeoutMs: number,
): Promise<{ response: Response } | { failure: EtcdFailure }> {
  return new Promise((resolve) => {
    const call = Reflect.get(stub, method) as UnaryMethod;
    try {
      call.call(stub, payload, metadata, { deadline: Date.now() + timeoutMs }, (error, response) => {
        resolve(error === null ? { response: response as Response } : { failure: classifyEtcdError(error) });
      });
    } catch (error) {
      resolve({ failure: notSent(error) });
    }
  });
}

/** It failed before the request itself was sent: no token, or the client is closed. */
function notSent(error: unknown): EtcdFailure {
  const failure = classifyEtcdError(error);
  return failure.type === 'denied' ? failure : { type: 'not-executed', message: failure.message };
}
