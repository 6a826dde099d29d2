/** Single calls: sent to the right server, retried while that is safe and useful, traced. */

import * as grpc from '@grpc/grpc-js';
import { strict } from '../runtime/transport/decode.ts';
import { TRACEPARENT_HEADER } from '../runtime/transport/service.ts';
import { backoffDelayMs, CONNECTION_BACKOFF } from './backoff.ts';
import { Channels } from './channels.ts';
import { ClusterMap } from './cluster-map.ts';
import { Deadline } from './deadline.ts';
import { cancelled, closedError, makeError, meaningOf, outcomeUnknown, TransactionAborted, TxmeshError, wasNeverConnected, type Settle } from './errors.ts';
import type { CallOptions, Environment, Settings } from './options.ts';
import { errorFromGrpc } from './status-codec.ts';
import { endSpan, sentTo, startCallSpan, type ClientSpan } from './trace.ts';

/** A generated method with one request. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

export interface RpcOptions extends CallOptions {
  /** The call concerns this service's partition of this key. Absent: any server will do. */
  readonly route?: { readonly service: string; readonly routingKey: string };
  /** The call changes something, once for this id however often it is sent. */
  readonly transactionId?: string;
  /** How to find out whether the change was made. Default: by the same call again. */
  readonly settle?: Settle;
}

export class Rpc {
  readonly map: ClusterMap;
  readonly channels: Channels;
  readonly settings: Settings;
  readonly environment: Environment;
  private readonly closing = new AbortController();

  constructor(settings: Settings, environment: Environment) {
    this.settings = settings;
    this.environment = environment;
    this.map = new ClusterMap(settings.addresses, environment.clock);
    this.channels = new Channels(settings, environment.clock);
  }

  deadline(what: string, options: CallOptions): Deadline {
    return new Deadline(what, options, this.settings.timeoutMs, this.environment, this.closed);
  }

  /**
   * Sends until there is an answer or the deadline has come. Only for what may be repeated: reads, and
   * changes under an id.
   * @throws OutcomeUnknown if a change may have been made and no answer says so.
   */
  async call<Request, Response>(method: Method<Request, Response>, request: Request, options: RpcOptions = {}): Promise<Response> {
    const { route, transactionId } = options;
    const { service, name } = splitPath(method.path);
    const deadline = this.deadline(name, options);
    const span = startCallSpan(service, name);
    /** An earlier try may have changed something. */
    let open = false;
    let tries = 0;
    let lastError: TxmeshError | undefined;
    try {
      for (;;) {
        deadline.check(lastError);
        const address = route === undefined ? this.map.anyAddress() : this.map.route(route.service, route.routingKey);
        try {
          return await this.send(method, request, address, deadline, span, transactionId);
        } catch (error) {
          if (!(error instanceof TxmeshError)) throw error;
          const meaning = meaningOf(error);
          open ||= transactionId !== undefined && (meaning === 'unknown' || meaning === 'defect');
          if (meaning === 'refused' || meaning === 'defect') throw error;
          if (isConnectionLoss(error)) this.map.avoid(address);
          lastError = this.explain(error);
        }
        const delayMs = backoffDelayMs(CONNECTION_BACKOFF, ++tries, this.environment.entropy(), lastError.retryAfterMs);
        await deadline.wait(delayMs, lastError);
      }
    } catch (error) {
      const settled = error instanceof TransactionAborted;
      const settle = options.settle ?? ((given: CallOptions) => this.wasMade(method, request, { ...options, signal: undefined, timeoutMs: undefined, ...given }));
      const final = open && !settled ? outcomeUnknown(transactionId!, String(error), error, settle) : error;
      endSpan(span, final);
      throw final;
    } finally {
      endSpan(span);
    }
  }

  private async wasMade<Request, Response>(method: Method<Request, Response>, request: Request, options: RpcOptions): Promise<boolean> {
    try {
      await this.call(method, request, options);
      return true;
    } catch (error) {
      if (error instanceof TransactionAborted) return false;
      throw error;
    }
  }

  /** The error of a try; as long as no server was ever reached, one that names all that were tried. */
  explain(error: TxmeshError): TxmeshError {
    if (this.map.isKnown || !wasNeverConnected(error)) return error;
    const { reason, metadata, retryAfterMs, transactionId } = error;
    const message = `none of ${this.map.known.join(', ')} could be reached (${error.message})`;
    return makeError({ reason, message, metadata, retryAfterMs, transactionId, cause: error });
  }

  /** Opens a stream of responses. Its errors are gRPC's. */
  stream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    address: string,
  ): grpc.ClientReadableStream<Response> {
    const client = this.channels.to(address);
    return client.makeServerStreamRequest(method.path, method.requestSerialize, strict(method.responseDeserialize), request);
  }

  /** Fires when the connection is closed. */
  get closed(): AbortSignal {
    return this.closing.signal;
  }

  close(): void {
    this.closing.abort(closedError());
    this.channels.close();
  }

  private send<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    address: string,
    { leftMs, signal }: Deadline,
    span: ClientSpan | undefined,
    transactionId: string | undefined,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const metadata = new grpc.Metadata();
      if (span !== undefined) {
        metadata.set(TRACEPARENT_HEADER, span.traceparent);
        sentTo(span, address);
      }
      const call = this.channels.to(address).makeUnaryRequest(
        method.path,
        method.requestSerialize,
        strict(method.responseDeserialize),
        request,
        metadata,
        { deadline: Date.now() + leftMs },
        (error, response) => {
          signal?.removeEventListener('abort', cancel);
          if (error === null) resolve(response!);
          else if (signal?.aborted) reject(cancelled(signal, method.path, transactionId));
          else reject(errorFromGrpc(error, transactionId));
        },
      );
      const cancel = (): void => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }
}

/** "/txmesh.keyvalue.v1.KeyValueService/Get" */
function splitPath(path: string): { service: string; name: string } {
  const slash = path.indexOf('/', 1);
  return { service: path.slice(1, slash), name: path.slice(slash + 1) };
}

/** The server could not be reached, is going away, or went away before it answered. */
export function isConnectionLoss({ code, metadata }: TxmeshError): boolean {
  return code === 'UNAVAILABLE' || metadata['status'] === 'UNAVAILABLE';
}
