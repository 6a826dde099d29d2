/**
 * Which values the labels of the servers' metrics may have: docs/metrics.md names them, and tests hold what
 * servers emit, and what dashboards and rules match, to them. Names that somebody chose are not here.
 */

import { REASONS } from '../../services/kernel/failure.ts';

type Values = readonly string[];

/** As google.rpc.Code has them. */
export const STATUSES: Values = [...new Set<string>([...Object.values(REASONS), 'OK', 'UNIMPLEMENTED', 'DATA_LOSS'])];

/** Of a label, whatever the metric. */
const COMMON: Readonly<Record<string, Values>> = {
  component: ['coordinator', 'participant', 'queue', 'counter'],
  grpc_status: STATUSES,
  txmesh_outcome: ['committed', 'aborted'],
  txmesh_state: ['active', 'preparing', 'committing', 'aborting'],
  txmesh_phase: ['prepare', 'decide', 'complete'],
  txmesh_change: ['gained', 'lost'],
  txmesh_decision: ['allowed', 'denied'],
  txmesh_kind: ['strong', 'sharded', 'queued', 'replicated'],
  v8js_gc_type: ['minor', 'major', 'incremental', 'weakcb'],
  cpu_mode: ['user', 'system'],
  alertstate: ['pending', 'firing'],
  severity: ['critical', 'warning'],
};

/** Of a label that says something else in each metric. */
const OWN: Readonly<Record<string, Readonly<Record<string, Values>>>> = {
  txmesh_transaction_finished_total: { txmesh_reason: ['', 'left', 'short_timeout', ...Object.keys(REASONS)] },
  txmesh_conflict_total: { txmesh_reason: Object.keys(REASONS) },
  txmesh_store_failures_total: { txmesh_reason: ['unavailable', 'full', 'ambiguous', 'lease_lost', 'invalid'] },
  txmesh_admission_refused_total: {
    txmesh_reason: ['capacity', 'draining', 'store_full', 'in_flight', 'calls_per_second', 'bytes_per_second', 'callers'],
  },
  txmesh_counter_freshness: { txmesh_kind: ['queued', 'replicated'] },
};

/** @param metric as Prometheus calls it; @returns undefined where anybody may name it */
export const knownValues = (metric: string, label: string): Values | undefined => OWN[metric]?.[label] ?? COMMON[label];
