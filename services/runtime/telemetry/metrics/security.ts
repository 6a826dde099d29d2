/** Counts what is decided about callers, and what is refused because of their limits. */

import type { AdmissionRefusal, SecurityObserver } from '../../security/observer.ts';
import type { Metrics } from './metrics.ts';

const DECISIONS = { allowed: { 'txmesh.decision': 'allowed' }, denied: { 'txmesh.decision': 'denied' } } as const;
const REFUSALS: Readonly<Record<AdmissionRefusal, { readonly 'txmesh.reason': AdmissionRefusal }>> = {
  in_flight: { 'txmesh.reason': 'in_flight' },
  calls_per_second: { 'txmesh.reason': 'calls_per_second' },
  bytes_per_second: { 'txmesh.reason': 'bytes_per_second' },
  callers: { 'txmesh.reason': 'callers' },
};

/** Nearly every call is decided about, so that is a number here, which is read when somebody collects. */
export function securityObserver(metrics: Metrics): SecurityObserver {
  const decisions = { allowed: 0, denied: 0 };
  metrics.watch(['txmesh.authorization.decisions'], (observe) => {
    for (const decision of ['allowed', 'denied'] as const) observe('txmesh.authorization.decisions', decisions[decision], DECISIONS[decision]);
  });
  const refusals = metrics.counter('txmesh.admission.refused');
  for (const attributes of Object.values(REFUSALS)) refusals.add(0, attributes);
  return {
    decided(decision) {
      decisions[decision]++;
    },
    refused: (reason) => refusals.add(1, REFUSALS[reason]),
  };
}
