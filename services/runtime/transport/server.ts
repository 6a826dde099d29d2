/**
 * The gRPC server of a process: services on one port, with health, reflection, bounds on what is
 * under way, and an orderly end. A service's handlers are plain functions, see service.ts.
 */

import * as grpc from '@grpc/grpc-js';
import type { Attributes } from '@opentelemetry/api';
import type { Failure } from '../../kernel/failure.ts';
import type { Clock } from '../clock.ts';
import { failureToServiceError } from '../errors/status.ts';
import { ServedMethods } from '../telemetry/metrics/methods.ts';
import type { Metrics } from '../telemetry/metrics/metrics.ts';
import { Admission, DRAINING, type AdmissionLimits, type Refusal } from './admission.ts';
import { admit, duplexCall, streamCall, unaryCall, type CallEnvironment, type OpenStream } from './calls.ts';
import { FLOW_CONTROL_BYTES } from './channels.ts';
import { tolerant } from './decode.ts';
import { measured, Refused, type Guard, type Visit } from './guard.ts';
import { Health } from './health.ts';
import { explainListen, ListenError } from './listen-error.ts';
import { addReflection } from './reflection.ts';
import type { DuplexHandler, Handlers, StreamHandler, UnaryHandler } from './service.ts';

/** Times in milliseconds, sizes in bytes. */
export interface ServerSettings extends AdmissionLimits {
  readonly maxMessageBytes: number;
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /**
   * A connection of this age, give or take a tenth, is asked to end: callers connect anew, to whatever
   * stands behind the name by then. Infinity: never.
   */
  readonly maxConnectionAgeMs: number;
  /** How long what is under way on it may take; then it is cut off, streams too. Infinity: as it likes. */
  readonly connectionGraceMs: number;
}

const DEFAULT_SERVER_SETTINGS = {
  maxMessageBytes: 4 * 1024 * 1024,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  maxConnectionAgeMs: Infinity,
  connectionGraceMs: Infinity,
};

const REFUSALS: Readonly<Record<Refusal, Attributes>> = { capacity: { 'txmesh.reason': 'capacity' }, draining: { 'txmesh.reason': 'draining' } };

/** From the last answer to the end of the streams. */
const LINGER_MS = 100;

export interface ServerOptions {
  readonly clock: Clock;
  /** A number in [0, 1) for jitter. */
  entropy(): number;
  log(message: string, fields: Record<string, unknown>): void;
  /** Default: without TLS. See credentials.ts. */
  readonly credentials?: grpc.ServerCredentials;
  /** Default: every call is taken. */
  readonly guard?: Guard | undefined;
  readonly settings?: Partial<ServerSettings>;
  /** Absent: nobody counts. */
  readonly metrics?: Metrics | undefined;
  /** Protos that reflection does not tell of, by their names. */
  readonly hiddenFiles?: readonly string[];
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
    const { entropy, log, metrics, guard } = options;
    const settings = { ...DEFAULT_SERVER_SETTINGS, ...options.settings };
    const refused = metrics?.counter('txmesh.admission.refused');
    const onRefused = refused && ((why: Refusal): void => refused.add(1, REFUSALS[why]));
    for (const attributes of Object.values(REFUSALS)) refused?.add(0, attributes);
    this.admission = new Admission(settings, entropy, onRefused);
    this.environment = { admission: this.admission, streams: this.streams, methods: metrics && new ServedMethods(metrics), guard, log };
    this.server = new grpc.Server({
      'grpc.max_receive_message_length': settings.maxMessageBytes,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': settings.keepaliveMs,
      'grpc.keepalive_timeout_ms': settings.keepaliveTimeoutMs,
      ...(Number.isFinite(settings.maxConnectionAgeMs) && { 'grpc.max_connection_age_ms': settings.maxConnectionAgeMs }),
      ...(Number.isFinite(settings.connectionGraceMs) && { 'grpc.max_connection_age_grace_ms': settings.connectionGraceMs }),
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
      const deserialize = tolerant(method.requestDeserialize);
      strictDefinition[name] = { ...method, requestDeserialize: this.options.guard === undefined ? deserialize : measured(deserialize) };
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

  /** For ready-made services: their streams end with the server, too, and their calls go through the guard. */
  private guarded(): Pick<grpc.Server, 'addService'> {
    return {
      addService: (definition, implementation) => {
        const guarded: grpc.UntypedServiceImplementation = {};
        for (const [name, handler] of Object.entries(implementation)) {
          const method = Object.entries(definition).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
          if (method === undefined) throw new Error(`${name} is no method of the service that it is added with`);
          guarded[name] = method.responseStream
            ? this.countStream(method.path, this.followed(method.path, handler as ReadyMadeStream))
            : this.countCall(method.path, this.asked(method.path, handler as ReadyMadeCall));
        }
        this.server.addService(definition, guarded);
      },
    };
  }

  private asked(path: string, handler: ReadyMadeCall): ReadyMadeCall {
    const door = this.options.guard?.of(path);
    if (door === undefined) return handler;
    return (call, callback) =>
      admit(door, call, path, this.environment, (visit) => {
        if (visit instanceof Refused) return callback(failureToServiceError(visit.failure));
        const failure = visit.check(call.request, 0);
        visit.leave();
        if (failure === undefined) handler(call, callback);
        else callback(failureToServiceError(failure));
      });
  }

  private followed(path: string, handler: ReadyMadeStream): ReadyMadeStream {
    const door = this.options.guard?.of(path);
    const serve: ReadyMadeStream = (call, visit?: Visit) => {
      const end = (failure: Failure): void => void call.emit('error', failureToServiceError(failure) as Error);
      const open: OpenStream = { end: () => call.end() };
      this.streams.add(open);
      const over = (): void => {
        if (this.streams.delete(open)) visit?.leave();
      };
      // Of an orderly end nobody is told but by the stream itself.
      call.once('cancelled', over);
      call.once('close', over);
      const nothing = (): void => undefined;
      visit?.open({ answer: nothing, pause: nothing, resume: nothing, end });
      handler(call);
    };
    if (door === undefined) return serve;
    return (call) =>
      admit(door, call, path, this.environment, (visit) => {
        if (visit instanceof Refused) call.emit('error', failureToServiceError(visit.failure) as Error);
        // It may have gone while it was found out who called.
        else if (call.cancelled) visit.leave();
        else serve(call, visit);
      });
  }

  private countCall(path: string, handler: ReadyMadeCall): grpc.UntypedHandleCall {
    const meter = this.environment.methods?.unary(path);
    if (meter === undefined) return handler;
    const counted: ReadyMadeCall = (call, callback) => {
      const beganMs = meter.begin();
      handler(call, (error, ...answer) => {
        callback(error, ...answer);
        meter.end(beganMs, grpc.status[error?.code ?? grpc.status.OK] ?? 'UNKNOWN');
      });
    };
    return counted;
  }

  private countStream(path: string, handler: ReadyMadeStream): grpc.UntypedHandleCall {
    const meter = this.environment.methods?.stream(path);
    if (meter === undefined) return handler;
    const counted: ReadyMadeStream = (call) => {
      const beganMs = meter.begin();
      let over = false;
      const end = (status: string): void => {
        if (!over) meter.end(beganMs, status);
        over = true;
      };
      call.once('finish', () => end('OK'));
      call.once('cancelled', () => end('CANCELLED'));
      handler(call);
    };
    return counted;
  }
}

type ReadyMadeCall = grpc.handleUnaryCall<unknown, unknown>;
type ReadyMadeStream = (call: grpc.ServerDuplexStream<unknown, unknown>, visit?: Visit) => void;

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
