/** The guard of a participant outside of the mesh: only the mesh's replicas may call it. Health is open. */

import type { ServerCall } from '../transport/context.ts';
import { Refused, type Door, type Guard, type Visit } from '../transport/guard.ts';
import { connectionOf, spiffeIdOf } from './certificate.ts';
import { Patterns } from './pattern.ts';

const HEALTH = '/grpc.health.v1.Health/';

const TAKEN: Visit = { check: () => undefined, open: () => undefined, take: (request) => request, leave: () => undefined };

export class PeersOnly implements Guard {
  private readonly peers: Patterns;
  private readonly known = new WeakMap<object, boolean>();

  /** @param peers patterns of SPIFFE ids, a `*` at their end or none */
  constructor(peers: readonly string[]) {
    this.peers = new Patterns(peers);
  }

  of(path: string): Door {
    if (path.startsWith(HEALTH)) return { admit: () => TAKEN };
    return { admit: (call) => (this.isPeer(call) ? TAKEN : new Refused(NO_PEER)) };
  }

  private isPeer(call: ServerCall): boolean {
    const connection = connectionOf(call);
    const known = connection && this.known.get(connection);
    if (known !== undefined) return known;
    const id = spiffeIdOf(call);
    const isPeer = id !== undefined && this.peers.matches(id);
    if (connection !== undefined) this.known.set(connection, isPeer);
    return isPeer;
  }
}

const NO_PEER = {
  reason: 'PERMISSION_DENIED',
  message: 'only replicas of the mesh may call this participant, with a certificate that names one (option peers)',
} as const;
