/**
 * Metrics of others that dashboards and alert rules name, with their labels: a counter ends in `_total`
 * (or is named here as one), a histogram in `_bucket`. A test starts etcd and looks for its names.
 */

export interface ForeignMetric {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
}

const counter = (...labels: string[]): ForeignMetric => ({ kind: 'counter', labels });
const gauge = (...labels: string[]): ForeignMetric => ({ kind: 'gauge', labels });
const histogram = (...labels: string[]): ForeignMetric => ({ kind: 'histogram', labels });

/** etcd 3.6, https://etcd.io/docs/v3.6/metrics/ */
export const ETCD_METRICS: Readonly<Record<string, ForeignMetric>> = {
  etcd_server_has_leader: gauge(),
  etcd_server_is_leader: gauge(),
  etcd_server_leader_changes_seen_total: counter(),
  // Gauges by their type, counters by what they do.
  etcd_server_proposals_committed_total: counter(),
  etcd_server_proposals_applied_total: counter(),
  etcd_server_proposals_failed_total: counter(),
  etcd_server_proposals_pending: gauge(),
  etcd_server_quota_backend_bytes: gauge(),
  etcd_mvcc_db_total_size_in_bytes: gauge(),
  etcd_mvcc_db_total_size_in_use_in_bytes: gauge(),
  etcd_disk_wal_fsync_duration_seconds: histogram(),
  etcd_disk_backend_commit_duration_seconds: histogram(),
  etcd_server_slow_apply_total: counter(),
  grpc_server_handled_total: counter('grpc_service', 'grpc_method', 'grpc_code', 'grpc_type'),
  process_resident_memory_bytes: gauge(),
};

/** What Prometheus says of what it scrapes, and of its own rules. */
export const PROMETHEUS_METRICS: Readonly<Record<string, ForeignMetric>> = {
  up: gauge(),
  ALERTS: gauge('alertname', 'alertstate', 'severity'),
};

/** Labels that deploy/components/prometheus/config.yaml gives to every series that it scrapes. */
export const SCRAPE_LABELS: readonly string[] = ['job', 'instance', 'component'];
