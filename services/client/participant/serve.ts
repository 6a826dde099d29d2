/** A user's own service as a participant: server, registration, protocol. */

import type * as grpc from '@grpc/grpc-js';
import { CoordinatorServiceService, InquireResponse_Outcome } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { ParticipantServiceService } from '../../gen/txmesh/participant/v1/participant.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { isPattern } from '../../runtime/security/pattern.ts';
import { PeersOnly } from '../../runtime/security/peers-only.ts';
import { ListenError } from '../../runtime/transport/listen-error.ts';
import { MeshServer } from '../../runtime/transport/server.ts';
import { routedTo } from '../interactive.ts';
import { cancelled, invalidRequest } from '../errors.ts';
import { settingsFrom, systemEnvironment, type ConnectOptions, type Environment } from '../options.ts';
import { Rpc } from '../rpc.ts';
import type { Identity } from './branch-codec.ts';
import { BranchKeeper } from './branch-keeper.ts';
import type { Inquire } from './inquiries.ts';
import { participantHandlers } from './participant-handlers.ts';
import { keepRegistered } from './registration.ts';
import type { ResourceManager } from './resource-manager.ts';

const DEFAULT_TIME_TO_LIVE_MS = 10_000;
const LEAST_TIME_TO_LIVE_MS = 1_000;
const MOST_TIME_TO_LIVE_MS = 300_000;
const DEFAULT_CLOSE_MS = 10_000;
const SERVICE = 'txmesh.participant.v1.ParticipantService';

export interface ServeOptions {
  /** 1 to 63 characters of a-z, 0-9 and '-', beginning with a letter. What transactions name. */
  readonly name: string;
  /** host:port of a replica of the mesh, or several with options. */
  readonly mesh: string | Omit<ConnectOptions, 'maxPending'>;
  /** host:port to listen on; port 0 takes a free one. */
  readonly listen: string;
  /** host:port where the mesh reaches it. Default: what it listens on. */
  readonly address?: string;
  readonly resourceManager: ResourceManager;
  /** How long the mesh takes it for alive without hearing of it, 1,000 to 300,000 ms. Default 10,000. */
  readonly timeToLiveMs?: number;
  /** Default: insecure, without TLS. */
  readonly credentials?: grpc.ServerCredentials;
  /**
   * SPIFFE ids of the mesh's replicas, a `*` at their end or none: nobody else may call the participant. Needs
   * credentials that ask for certificates. Default: whoever the credentials let in.
   */
  readonly peers?: readonly string[];
  /** Gives the start up, which lasts for as long as the mesh is not there or another has the name. Afterwards there is `close`. */
  readonly signal?: AbortSignal;
  /** Told of what fails and is tried again, for a log. Default: nobody. */
  readonly onProblem?: (message: string, error: unknown) => void;
}

export interface Participant extends AsyncDisposable {
  /** host:port that was registered. */
  readonly address: string;
  /** The mesh's cluster. */
  readonly clusterId: string;
  /**
   * Takes no new work, finishes what is under way within the bound (milliseconds, default 10,000) and
   * stops; a resource manager that has not answered by then is left alone. Branches that are prepared stay so:
   * the next start takes them up.
   */
  close(boundMs?: number): Promise<void>;
}

/**
 * Serves a resource manager as a participant. Resolves when it is registered with the mesh and has taken up
 * what was stored, and waits for that until the signal fires. Where it throws, nothing is left running.
 * @throws InvalidRequest if an option is wrong, nobody can listen there, or the mesh does not take the name or the address
 * @throws PermissionDenied, NotAuthenticated if the mesh's policy does not let it register
 * @throws Cancelled if the signal fires before it is registered
 */
export async function serveParticipant(options: ServeOptions): Promise<Participant> {
  return serveIn(systemEnvironment, options);
}

/** As {@link serveParticipant}, with other time and chance. */
export async function serveIn(environment: Environment, options: ServeOptions): Promise<Participant> {
  const { name, listen, resourceManager: manager, signal } = options;
  const onProblem = guarded(name, options.onProblem);
  const [host, port] = hostAndPort(listen);
  const timeToLiveMs = checkedTimeToLiveMs(options);
  const guard = options.peers && new PeersOnly(checkedPeers(options));
  const rpc = new Rpc(settingsFrom(typeof options.mesh === 'string' ? { addresses: [options.mesh] } : options.mesh), environment);
  let clusterId = '';
  let isServing = false;
  const identity = (): Identity => {
    if (isServing) return { name, clusterId };
    throw new FailureError({ reason: 'DRAINING', message: `participant ${name} is not registered yet`, retryAfterMs: 500 });
  };
  const keeper = new BranchKeeper({ manager, environment, inquire: inquireOver(rpc), onProblem });
  const server = new MeshServer({
    clock: environment.clock,
    entropy: environment.entropy,
    log: (message, fields) => onProblem(message, fields),
    credentials: options.credentials,
    ...(guard && { guard }),
  });
  server.add(ParticipantServiceService, participantHandlers(keeper, identity));
  const stopping = new AbortController();
  const stop = async (boundMs: number): Promise<void> => {
    const { clock } = environment;
    const endMs = clock.monotonicMs() + boundMs;
    stopping.abort();
    await server.close(boundMs);
    await keeper.close(Math.max(0, endMs - clock.monotonicMs()));
    rpc.close();
  };
  try {
    const bound = await server.listen(host, port).catch((error: unknown) => {
      throw cannotListen(name, listen, error);
    });
    const address = options.address ?? `${host.includes(':') ? `[${host}]` : host}:${bound}`;
    const started = Promise.withResolvers<void>();
    // Only who has the name has the resource manager: until a registration of somebody else has lapsed, that
    // one may still prepare and settle, and what was read before would not be what is there.
    const recover = async (): Promise<void> => {
      await keeper.recover();
      if (stopping.signal.aborted) return;
      isServing = true;
      server.setServing(SERVICE, true);
    };
    let recovered: Promise<void> | undefined;
    const onRegistered = (id: string): void => {
      clusterId = id;
      recovered ??= recover().then(started.resolve, started.reject);
    };
    keepRegistered({ rpc, name, address, timeToLiveMs, signal: stopping.signal, onRegistered, onProblem }).catch((error: unknown) => {
      onProblem(`participant ${name} can't be registered`, error);
      started.reject(error);
    });
    const onGivenUp = (): void => started.reject(cancelled(signal!, `the start of participant ${name}`));
    signal?.addEventListener('abort', onGivenUp, { once: true });
    if (signal?.aborted) onGivenUp();
    await started.promise.finally(() => signal?.removeEventListener('abort', onGivenUp));
    let closed: Promise<void> | undefined;
    const close = (boundMs = DEFAULT_CLOSE_MS): Promise<void> => (closed ??= stop(boundMs));
    return { address, clusterId, close, [Symbol.asyncDispose]: () => close() };
  } catch (error) {
    await stop(0);
    throw error;
  }
}

/** What it throws is not to end what would be tried again. */
function guarded(name: string, tell: ServeOptions['onProblem']): (message: string, error: unknown) => void {
  return (message, error) => {
    try {
      tell?.(message, error);
    } catch (thrown) {
      process.emitWarning(`onProblem of participant ${name} has thrown, when told "${message}": ${String(thrown)}`, 'TxmeshWarning');
    }
  };
}

function inquireOver(rpc: Rpc): Inquire {
  return async ({ transactionId, attempt, coordinatorPartition, participant, partition }) => {
    const request = { transactionId, attempt, coordinatorPartition, participant, partition };
    const { outcome } = await rpc.call(CoordinatorServiceService.inquire, request, routedTo(transactionId, {}));
    if (outcome === InquireResponse_Outcome.COMMITTED) return 'committed';
    return outcome === InquireResponse_Outcome.ABORTED ? 'aborted' : 'pending';
  };
}

/** @throws InvalidRequest */
function checkedPeers({ peers = [], credentials }: ServeOptions): readonly string[] {
  const wrong = peers.find((peer) => !isPattern(peer) || !peer.startsWith('spiffe://'));
  if (wrong !== undefined) throw invalidRequest(`peers has ${JSON.stringify(wrong)}; it must be a SPIFFE id, or the beginning of one with a * at its end`, 'peers');
  if (credentials === undefined) throw invalidRequest('peers needs credentials: without TLS nobody shows who it is', 'credentials');
  return peers;
}

/** @throws InvalidRequest */
function checkedTimeToLiveMs({ timeToLiveMs = DEFAULT_TIME_TO_LIVE_MS }: ServeOptions): number {
  if (timeToLiveMs >= LEAST_TIME_TO_LIVE_MS && timeToLiveMs <= MOST_TIME_TO_LIVE_MS) return timeToLiveMs;
  throw invalidRequest(`timeToLiveMs is ${timeToLiveMs}; it must be from ${LEAST_TIME_TO_LIVE_MS} to ${MOST_TIME_TO_LIVE_MS} milliseconds`, 'timeToLiveMs');
}

/** "127.0.0.1:50061", "[::1]:50061" */
function hostAndPort(listen: string): [host: string, port: number] {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(listen);
  if (match === null || Number(match[3]) > 65_535) throw invalidRequest(`listen is ${JSON.stringify(listen)}; it must be host:port`, 'listen');
  return [match[1] ?? match[2]!, Number(match[3])];
}

/** The server's own error names flags, of which there are none here. */
function cannotListen(name: string, listen: string, error: unknown): unknown {
  if (!(error instanceof ListenError)) return error;
  const why = error.cause instanceof Error ? error.cause.message : error.message;
  return invalidRequest(`participant ${name} can't listen on ${listen}: ${why}; stop what listens there, or choose another address with the option listen`, 'listen');
}
