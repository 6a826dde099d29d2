/** For metrics: told of each decision. Called on hot paths, so it must be cheap. What admission.ts refuses it tells itself. */

/** Which limit of its caller refused a call; `callers`: more callers than can be counted. */
export type AdmissionRefusal = 'in_flight' | 'calls_per_second' | 'bytes_per_second' | 'callers';

export interface SecurityObserver {
  /** txmesh.authorization.decisions */
  decided(decision: 'allowed' | 'denied'): void;
  /** txmesh.admission.refused */
  refused(reason: AdmissionRefusal): void;
}

export const NO_OBSERVER: SecurityObserver = { decided: () => undefined, refused: () => undefined };
