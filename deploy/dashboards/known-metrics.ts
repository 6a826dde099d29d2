/**
 * Every metric that dashboards and alert rules may name, as Prometheus knows it: the servers' own, from
 * their table of instruments, and those of others that are in use. A test starts etcd and looks for its.
 */

import { INSTRUMENTS } from '../../services/runtime/telemetry/metrics/instruments.ts';

export interface KnownMetric {
  /** A histogram is known by its name with `_bucket`, `_sum` and `_count`. */
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** Besides those that the scrape gives. */
  readonly labels: readonly string[];
}

export type KnownMetrics = Readonly<Record<string, KnownMetric>>;

const counter = (...labels: string[]): KnownMetric => ({ kind: 'counter', labels });
const gauge = (...labels: string[]): KnownMetric => ({ kind: 'gauge', labels });
const histogram = (...labels: string[]): KnownMetric => ({ kind: 'histogram', labels });

/** Labels that deploy/components/prometheus/config.yaml gives to what it scrapes. */
export const SCRAPE_LABELS: readonly string[] = ['job', 'instance', 'component'];

/** Dots become underscores, and a counter's name ends in `_total`. */
const SERVER_METRICS: KnownMetrics = Object.fromEntries(
  Object.entries(INSTRUMENTS).map(([name, { kind, attributes }]) => {
    const type = kind === 'watched counter' ? 'counter' : kind === 'watched histogram' ? 'histogram' : kind;
    return [`${inPrometheus(name)}${type === 'counter' ? '_total' : ''}`, { kind: type, labels: attributes.map(inPrometheus) }];
  }),
);

function inPrometheus(name: string): string {
  return name.replaceAll('.', '_');
}

/** etcd 3.6, https://etcd.io/docs/v3.6/metrics/ */
export const ETCD_METRICS: KnownMetrics = {
  etcd_server_has_leader: gauge(),
  etcd_server_is_leader: gauge(),
  etcd_server_leader_changes_seen_total: counter(),
  // Gauges by their type, counters by what they do.
  etcd_server_proposals_committed_total: counter(),
  etcd_server_proposals_applied_total: counter(),
  etcd_server_proposals_failed_total: counter(),
  etcd_server_proposals_pending: gauge(),
  etcd_server_quota_backend_bytes: gauge(),
  etcd_server_slow_apply_total: counter(),
  etcd_mvcc_db_total_size_in_bytes: gauge(),
  etcd_mvcc_db_total_size_in_use_in_bytes: gauge(),
  etcd_disk_wal_fsync_duration_seconds: histogram(),
  etcd_disk_backend_commit_duration_seconds: histogram(),
  grpc_server_handled_total: counter('grpc_service', 'grpc_method', 'grpc_code', 'grpc_type'),
  process_resident_memory_bytes: gauge(),
};

/** What Prometheus says of what it scrapes, and of its own rules. */
const PROMETHEUS_METRICS: KnownMetrics = {
  up: gauge(),
  ALERTS: gauge('alertname', 'alertstate', 'severity'),
};

export const KNOWN_METRICS: KnownMetrics = { ...SERVER_METRICS, ...ETCD_METRICS, ...PROMETHEUS_METRICS };
