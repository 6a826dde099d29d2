/** Keeps a participant known to the mesh, for as long as it serves. */

import { ClusterServiceService } from '../../gen/txmesh/cluster/v1/cluster.ts';
import { durationMs, toDuration } from '../../runtime/transport/time.ts';
import { sleep } from '../deadline.ts';
import { InvalidRequest, NotAuthenticated, PermissionDenied, TxmeshError } from '../errors.ts';
import type { Rpc } from '../rpc.ts';

/** After a registration that failed for another reason than the connection, milliseconds. */
const RETRY_MS = 1_000;
/** A registration is renewed after this part of its time to live. */
const RENEWALS = 3;

export interface RegistrationOptions {
  readonly rpc: Rpc;
  readonly name: string;
  /** host:port where it can be reached. */
  readonly address: string;
  readonly timeToLiveMs: number;
  /** Ends it: the registration runs out. */
  readonly signal: AbortSignal;
  /** Registered, now in this cluster. Called after every renewal. */
  onRegistered(clusterId: string): void;
  onProblem(message: string, error: unknown): void;
}

/**
 * Registers and renews until the signal fires.
 * @throws InvalidRequest if the name or the address can't be registered, and never could
 * @throws PermissionDenied, NotAuthenticated if it may not register, and never could
 */
export async function keepRegistered(options: RegistrationOptions): Promise<void> {
  const { rpc, name, address, timeToLiveMs, signal, onRegistered, onProblem } = options;
  const { clock } = rpc.environment;
  const timeToLive = toDuration(timeToLiveMs);
  let registrationId = '';
  let wasRegistered = false;
  while (!signal.aborted) {
    try {
      const request = { name, address, timeToLive, registrationId };
      const call = { signal, timeoutMs: timeToLiveMs };
      const registration = await rpc.call(ClusterServiceService.registerParticipant, request, call);
      ({ registrationId } = registration);
      wasRegistered = true;
      onRegistered(registration.clusterId);
      const grantedMs = registration.timeToLive === undefined ? timeToLiveMs : durationMs(registration.timeToLive);
      const renewAtMs = clock.monotonicMs() + grantedMs / RENEWALS;
      await followMap(options, grantedMs / RENEWALS);
      await sleep(clock, Math.max(0, renewAtMs - clock.monotonicMs()), signal);
    } catch (error) {
      if (signal.aborted) return;
      // What was right before is right again: a policy that is wrong for a while ends nobody who was there, and
      // what is invalid may be no more than a registration that has run out.
      const isFinal = error instanceof PermissionDenied || error instanceof NotAuthenticated || error instanceof InvalidRequest;
      if (isFinal && !wasRegistered) throw error;
      onProblem(`registration of participant ${name} failed`, error);
      // A registration that ran out can't be renewed: the next is a new one.
      if (error instanceof TxmeshError && error.code !== 'DEADLINE_EXCEEDED') registrationId = '';
      await sleep(clock, RETRY_MS, signal);
    }
  }
}

/** Learns the servers' present addresses, so that the mesh is found again when the first ones are gone. */
async function followMap({ rpc, name, signal, onProblem }: RegistrationOptions, timeoutMs: number): Promise<void> {
  try {
    const { cluster } = await rpc.call(ClusterServiceService.getCluster, {}, { signal, timeoutMs });
    if (cluster === undefined) return;
    rpc.map.update(cluster);
    rpc.channels.keepOnly(new Set(rpc.map.known));
  } catch (error) {
    // It goes on with the addresses it knows; the registration is not concerned.
    if (!signal.aborted) onProblem(`participant ${name} can't learn where the mesh's servers are now`, error);
  }
}
