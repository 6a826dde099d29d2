/**
 * Connections to other replicas and to external participants: one channel an address, made when
 * needed and closed when unused. Calls always have a deadline, and their errors are FailureErrors.
 */

import * as grpc from '@grpc/grpc-js';
import { FailureError } from '../errors/failure-error.ts';
import { isRefusedStream, serviceErrorToFailure } from '../errors/status.ts';
import type { Clock, Timer } from '../clock.ts';
import { nameOfAddress } from './credentials.ts';
import { strict } from './decode.ts';
import { FORWARDED_HEADER, TRACEPARENT_HEADER } from './service.ts';

/** A method as generated code defines it. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

export interface CallOptions {
  /** Wall time at which to give up, milliseconds; at the latest {@link ChannelSettings.callMs} from now. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  readonly traceparent?: string | undefined;
  /** Marks the call as forwarded, so that it is not forwarded again. */
  readonly forwarded?: boolean;
}

/** Times in milliseconds, sizes in bytes. */
export interface ChannelSettings {
  /** The most addresses that are connected at a time; beyond, the one unused for longest is closed. */
  readonly maxChannels: number;
  /** A channel without a call for this long is closed. */
  readonly idleMs: number;
  /** The longest deadline of a unary call. */
  readonly callMs: number;
  readonly maxMessageBytes: number;
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
}

export const DEFAULT_CHANNEL_SETTINGS: ChannelSettings = {
  maxChannels: 1_000,
  idleMs: 5 * 60_000,
  callMs: 10 * 60_000,
  maxMessageBytes: 16 * 1024 * 1024,
  // As the SDK's: a silent replica should not hold up what waits for it much longer than its lease.
  keepaliveMs: 2_500,
  keepaliveTimeoutMs: 2_500,
};

export interface ChannelsOptions {
  readonly clock: Clock;
  /** Default: without TLS. */
  readonly credentials?: grpc.ChannelCredentials;
  readonly settings?: Partial<ChannelSettings>;
}

interface Entry {
  readonly client: grpc.Client;
  calls: number;
  usedMs: number;
}

const SWEEPS_PER_IDLE = 4;

export class Channels {
  private readonly options: ChannelsOptions;
  private readonly settings: ChannelSettings;
  /** By address, the one used longest ago first. */
  private readonly entries = new Map<string, Entry>();
  private sweepTimer: Timer | undefined;
  private closed = false;

  constructor(options: ChannelsOptions) {
    this.options = options;
    this.settings = { ...DEFAULT_CHANNEL_SETTINGS, ...options.settings };
    this.scheduleSweep();
  }

  /** @throws FailureError; one with `retryAfterMs` says that the call was surely not executed. */
  async unary<Request, Response>(
    address: string,
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    try {
      return await this.send(address, method, request, options);
    } catch (error) {
      // It met a connection that the other end was just closing in good order; the next one is new.
      if (!(error instanceof FailureError) || !isRefusedStream(error.cause)) throw error;
      return this.send(address, method, request, options);
    }
  }

  /** The raw stream, without a deadline: whoever opens it watches over it. Errors are grpc.ServiceErrors. */
  duplex<Request, Response>(
    address: string,
    method: Method<Request, Response>,
    options: CallOptions = {},
  ): grpc.ClientDuplexStream<Request, Response> {
    const entry = this.open(address);
    const call = entry.client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      strict(method.responseDeserialize),
      metadataOf(options),
      options.deadlineMs === undefined ? {} : { deadline: options.deadlineMs },
    );
    call.once('status', () => entry.calls--);
    return call;
  }

  /** The responses of a streaming call, for forwarding it. Ends with a FailureError. */
  async *stream<Request, Response>(
    address: string,
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): AsyncGenerator<Response> {
    const entry = this.open(address);
    const call = entry.client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      strict(method.responseDeserialize),
      request,
      metadataOf(options),
      options.deadlineMs === undefined || options.deadlineMs === Infinity ? {} : { deadline: options.deadlineMs },
    );
    call.once('status', () => entry.calls--);
    const abort = (): void => call.cancel();
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      for await (const response of call) yield response as Response;
    } catch (error) {
      throw failed(error as grpc.ServiceError, options.signal);
    } finally {
      options.signal?.removeEventListener('abort', abort);
      call.cancel();
    }
  }

  /** Whether a connection to the address stands at the moment. */
  isConnected(address: string): boolean {
    return this.entries.get(address)?.client.getChannel().getConnectivityState(false) === grpc.connectivityState.READY;
  }

  /** Ends every call. */
  close(): void {
    this.closed = true;
    this.sweepTimer?.cancel();
    for (const { client } of this.entries.values()) client.close();
    this.entries.clear();
  }

  private send<Request, Response>(
    address: string,
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted) {
        reject(new FailureError({ reason: 'CANCELLED', message: 'cancelled before it was sent' }));
        return;
      }
      const entry = this.open(address);
      const abort = (): void => call.cancel();
      const call = entry.client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        strict(method.responseDeserialize),
        request,
        metadataOf(options),
        { deadline: this.deadline(options) },
        (error, response) => {
          entry.calls--;
          signal?.removeEventListener('abort', abort);
          if (error !== null) reject(failed(error, signal));
          else resolve(response!);
        },
      );
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  private deadline(options: CallOptions): number {
    const nowMs = this.options.clock.nowMs();
    return Math.min(options.deadlineMs ?? Infinity, nowMs + this.settings.callMs);
  }

  /** The channel to an address, counted as used by one more call. */
  private open(address: string): Entry {
    if (this.closed) throw new FailureError({ reason: 'DRAINING', message: 'this process is stopping', retryAfterMs: 1000 });
    let entry = this.entries.get(address);
    if (entry === undefined) {
      this.makeRoom();
      entry = { client: this.connect(address), calls: 0, usedMs: 0 };
    } else this.entries.delete(address);
    this.entries.set(address, entry);
    entry.calls++;
    entry.usedMs = this.options.clock.monotonicMs();
    return entry;
  }

  private connect(address: string): grpc.Client {
    const { maxMessageBytes, keepaliveMs, keepaliveTimeoutMs } = this.settings;
    const { credentials = grpc.credentials.createInsecure() } = this.options;
    const name = credentials._isSecure() ? nameOfAddress(address) : undefined;
    return new grpc.Client(address, credentials, {
      ...(name !== undefined && { 'grpc.ssl_target_name_override': name }),
      // The defaults grow to two minutes, longer than most failovers take.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
      // A pod that comes back has its old name and a new address; the default looks again after 30 s.
      'grpc.dns_min_time_between_resolutions_ms': 1_000,
      'grpc.keepalive_time_ms': keepaliveMs,
      'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
      'grpc.keepalive_permit_without_calls': 1,
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes,
      // A channel of ours is not to share a connection with, say, a user's client in this process.
      'grpc.use_local_subchannel_pool': 1,
      // What was perhaps executed is never sent twice behind the caller's back.
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc-node.flow_control_window': FLOW_CONTROL_BYTES,
      'grpc-node.max_session_memory': Number.MAX_SAFE_INTEGER,
    });
  }

  private makeRoom(): void {
    if (this.entries.size < this.settings.maxChannels) return;
    for (const [address, entry] of this.entries) {
      if (entry.calls > 0) continue;
      this.entries.delete(address);
      entry.client.close();
      return;
    }
    throw new FailureError({
      reason: 'OVERLOADED',
      message: `${this.entries.size} addresses are being called at the same time; try again later`,
      retryAfterMs: 1000,
    });
  }

  private scheduleSweep(): void {
    const { idleMs } = this.settings;
    this.sweepTimer = this.options.clock.setTimer(idleMs / SWEEPS_PER_IDLE, () => {
      const unusedSinceMs = this.options.clock.monotonicMs() - idleMs;
      for (const [address, entry] of this.entries) {
        if (entry.calls > 0 || entry.usedMs > unusedSinceMs) continue;
        this.entries.delete(address);
        entry.client.close();
      }
      this.scheduleSweep();
    });
  }
}

/** HTTP/2's default of 64 KiB makes a stream of large frames wait for the other side all the time. */
export const FLOW_CONTROL_BYTES = 4 * 1024 * 1024;

function failed(error: grpc.ServiceError, signal: AbortSignal | undefined): FailureError {
  const failure = serviceErrorToFailure(error);
  if (failure.reason !== 'CANCELLED' || signal?.aborted) return new FailureError(failure, { cause: error });
  // Nobody here cancelled: a server that is torn down resets its streams with this code.
  const { message, metadata } = failure;
  return new FailureError({ reason: 'OUTCOME_UNKNOWN', message: `the other end broke the call off: ${message}`, ...(metadata && { metadata }) }, { cause: error });
}

function metadataOf({ traceparent, forwarded }: CallOptions): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (traceparent !== undefined && traceparent !== '') metadata.set(TRACEPARENT_HEADER, traceparent);
  if (forwarded) metadata.set(FORWARDED_HEADER, '1');
  return metadata;
}
