/** For metrics: told of each decision. Called on hot paths, so it must be cheap. */

/** Why a call was not taken, whatever its rights. */
export type AdmissionRefusal = 'draining' | 'calls' | 'streams' | 'in_flight' | 'calls_per_second' | 'bytes_per_second' | 'callers';

export interface SecurityObserver {
  /** txmesh.authorization.decisions */
  decided(decision: 'allowed' | 'denied'): void;
  /** txmesh.admission.refused */
  refused(reason: AdmissionRefusal): void;
}

export const NO_OBSERVER: SecurityObserver = { decided: () => undefined, refused: () => undefined };
