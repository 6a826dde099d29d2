/**
 * The gRPC server of a process: services on one port, with health, reflection, bounds on what is
 * under way, and an orderly end. A service's handlers are plain functions, see service.ts.
 */

import * as grpc from '@grpc/grpc-js';
import type { Clock } from '../clock.ts';
import { Admission, DRAINING, type AdmissionLimits } from './admission.ts';
import { duplexCall, streamCall, unaryCall, type CallEnvironment, type OpenStream } from './calls.ts';
import { FLOW_CONTROL_BYTES } from './channels.ts';
import { tolerant } from './decode.ts';
import { Health } from './health.ts';
import { addReflection } from './reflection.ts';
import type { DuplexHandler, Handlers, StreamHandler, UnaryHandler } from './service.ts';

/** Times in milliseconds, sizes in bytes. */
export interface ServerSettings extends AdmissionLimits {
  readonly maxMessageBytes: number;
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
}

const DEFAULT_SERVER_SETTINGS = {
  maxMessageBytes: 4 * 1024 * 1024,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
};

/** From the last answer to the end of the streams. */
const LINGER_MS = 100;

export interface ServerOptions {
  readonly clock: Clock;
  /** A number in [0, 1) for jitter. */
  entropy(): number;
  log(message: string, fields: Record<string, unknown>): void;
  /** Default: without TLS. See credentials.ts. */
  readonly credentials?: grpc.ServerCredentials;
  readonly settings?: Partial<ServerSettings>;
  /** Protos that reflection does not tell of, by their names. */
  readonly hiddenFiles?: readonly string[];
}

/** The port can't be listened on; the message names the setting to change. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

export class MeshServer {
  private readonly options: ServerOptions;
  private readonly server: grpc.Server;
  private readonly admission: Admission;
  private readonly health = new Health();
  /** Serves health alone; see {@link listenForProbes}. */
  private probes: grpc.Server | undefined;
  private readonly streams = new Set<OpenStream>();
  private readonly environment: CallEnvironment;
  private sessionsClosed: Promise<void> | undefined;

  constructor(options: ServerOptions) {
    this.options = options;
    const { entropy, log } = options;
    const settings = { ...DEFAULT_SERVER_SETTINGS, ...options.settings };
    this.admission = new Admission(settings, entropy);
    this.environment = { admission: this.admission, streams: this.streams, log };
    this.server = new grpc.Server({
      'grpc.max_receive_message_length': settings.maxMessageBytes,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': settings.keepaliveMs,
      'grpc.keepalive_timeout_ms': settings.keepaliveTimeoutMs,
      'grpc-node.flow_control_window': FLOW_CONTROL_BYTES,
      'grpc-node.max_session_memory': Number.MAX_SAFE_INTEGER,
    });
    this.health.addTo(this.guarded());
    addReflection(this.guarded(), options.hiddenFiles);
  }

  /** Adds a service; it is NOT_SERVING until {@link setServing} says otherwise. */
  add<Definition extends object>(definition: Definition, handlers: Handlers<Definition>): void {
    const wrapped: grpc.UntypedServiceImplementation = {};
    const strictDefinition: Record<string, grpc.MethodDefinition<unknown, unknown>> = {};
    let service = '';
    for (const [name, method] of Object.entries(definition as grpc.ServiceDefinition)) {
      strictDefinition[name] = { ...method, requestDeserialize: tolerant(method.requestDeserialize) };
      const handler: unknown = handlers[name as keyof Definition];
      // Without one, grpc-js answers UNIMPLEMENTED.
      if (handler !== undefined) wrapped[name] = this.adapt(method, handler);
      service = method.path.split('/')[1]!;
    }
    this.server.addService(strictDefinition, wrapped);
    this.health.set(service, false);
  }

  /**
   * Sets the health of a service by its full name, such as "txmesh.keyvalue.v1.KeyValueService".
   * @param serving undefined: the mesh has nothing of that kind, which is no fault of the server.
   */
  setServing(service: string, serving: boolean | undefined): void {
    this.health.set(service, serving);
  }

  /**
   * Begins to serve. Resolves with the port, which matters where 0 was asked for.
   * @throws ListenError
   */
  listen(host: string, port: number): Promise<number> {
    return bind(this.server, host, port, this.options.credentials ?? grpc.ServerCredentials.createInsecure(), '--port');
  }

  /**
   * Tells health, and nothing else, on a port of its own in plain text: the probes of Kubernetes speak
   * no TLS. It answers until the server is closed. Resolves with the port.
   * @throws ListenError
   */
  listenForProbes(host: string, port: number): Promise<number> {
    this.probes = new grpc.Server();
    this.health.addTo(this.probes);
    return bind(this.probes, host, port, grpc.ServerCredentials.createInsecure(), '--health-port');
  }

  /**
   * Takes no new call: health says NOT_SERVING, connections get GOAWAY, and calls that are on their
   * way already are refused as surely not executed. What was taken goes on, streams too.
   */
  stopTaking(): void {
    if (this.sessionsClosed !== undefined) return;
    this.admission.draining = true;
    this.health.stop();
    this.sessionsClosed = new Promise((resolve) => this.server.tryShutdown(() => resolve()));
  }

  /**
   * Finishes the unary calls that were taken, ends the streams, and closes every connection; whatever
   * is not done within the bound, in milliseconds, is cut off.
   */
  async close(boundMs: number): Promise<void> {
    this.stopTaking();
    const { clock } = this.options;
    let expire: () => void;
    const expired = new Promise<void>((resolve) => (expire = resolve));
    const timer = clock.setTimer(boundMs, () => expire());
    await Promise.race([this.admission.callsDone(), expired]);
    // Who has just been answered may have sent its next call on the same stream already. It is to be
    // refused there, as not executed: a stream that ends before it has been read leaves it in doubt.
    const lingered = new Promise<void>((resolve) => clock.setTimer(LINGER_MS, resolve));
    if (this.streams.size > 0) await Promise.race([lingered, expired]);
    for (const stream of [...this.streams]) stream.end(DRAINING);
    await Promise.race([this.sessionsClosed, expired]);
    timer.cancel();
    this.server.forceShutdown();
    this.probes?.forceShutdown();
  }

  private adapt(method: grpc.MethodDefinition<unknown, unknown>, handler: unknown): grpc.UntypedHandleCall {
    const { environment } = this;
    if (method.requestStream) return duplexCall(method.path, handler as DuplexHandler<unknown, unknown>, environment);
    if (method.responseStream) return streamCall(method.path, handler as StreamHandler<unknown, unknown>, environment);
    return unaryCall(method.path, handler as UnaryHandler<unknown, unknown>, environment);
  }

  /** For ready-made services: their streams end with the server, too. */
  private guarded(): Pick<grpc.Server, 'addService'> {
    return {
      addService: (definition, implementation) => {
        const guarded: grpc.UntypedServiceImplementation = {};
        for (const [name, handler] of Object.entries(implementation)) {
          const method = Object.entries(definition).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
          guarded[name] = method?.responseStream ? this.guard(handler as StreamingHandler) : handler;
        }
        this.server.addService(definition, guarded);
      },
    };
  }

  private guard(handler: StreamingHandler): grpc.UntypedHandleCall {
    return (call: grpc.ServerDuplexStream<unknown, unknown>) => {
      const open: OpenStream = { end: () => call.end() };
      this.streams.add(open);
      call.once('cancelled', () => this.streams.delete(open));
      handler(call);
    };
  }
}

type StreamingHandler = (call: grpc.ServerDuplexStream<unknown, unknown>) => void;

function bind(server: grpc.Server, host: string, port: number, credentials: grpc.ServerCredentials, setting: string): Promise<number> {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  // grpc-js would print its own line for a port in use, beside ours.
  const quiet = process.env.GRPC_VERBOSITY === undefined && process.env.GRPC_NODE_VERBOSITY === undefined;
  if (quiet) grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (quiet) grpc.setLogVerbosity(grpc.logVerbosity.ERROR);
      if (error === null) resolve(bound);
      else reject(new ListenError(explainListen(host, port, error.message, setting), { cause: error }));
    });
  });
}

/** @param setting the flag that chooses the port. */
function explainListen(host: string, port: number, cause: string, setting: string): string {
  const variable = `TXMESH_${setting.slice(2).toUpperCase().replaceAll('-', '_')}`;
  if (cause.includes('EADDRINUSE'))
    return `port ${port} on ${host} is in use: stop what listens there, or choose another port with ${setting} (${variable})`;
  if (cause.includes('EACCES'))
    return `port ${port} on ${host} may not be listened on by this user: choose one above 1023 with ${setting} (${variable})`;
  return `can't listen on ${host}, port ${port} (${setting}, ${variable}): ${cause}`;
}
