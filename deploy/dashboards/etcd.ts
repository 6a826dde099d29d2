import type { Dashboard } from './dashboard.ts';

export const etcd: Dashboard = {
  uid: 'txmesh-etcd',
  title: 'txmesh / etcd',
  description: 'The store of a cluster: whether it has a leader, how fast it writes, and how full it is.',
  rows: [
    {
      title: 'Members',
      panels: [
        {
          title: 'Members that know a leader',
          description: 'All of them, or something is wrong; below a majority nothing can be written.',
          unit: 'none',
          queries: [{ expr: 'sum(etcd_server_has_leader{job="etcd"})', legend: 'members' }],
        },
        {
          title: 'Leader',
          description: 'Which member leads.',
          unit: 'none',
          queries: [{ expr: 'etcd_server_is_leader{job="etcd"}', legend: '{{instance}}' }],
        },
        {
          title: 'Leader changes',
          description: 'In the last hour. More than at restarts means slow disks or a slow network.',
          unit: 'none',
          queries: [{ expr: 'max(increase(etcd_server_leader_changes_seen_total{job="etcd"}[1h]))', legend: 'changes' }],
        },
      ],
    },
    {
      title: 'Space',
      panels: [
        {
          title: 'Share of the quota',
          description: 'The file\'s size. The servers refuse new work before it is reached; beyond it etcd refuses every write until an operator has acted.',
          unit: 'percentunit',
          redFrom: 0.8,
          queries: [{ expr: 'etcd_mvcc_db_total_size_in_bytes{job="etcd"} / etcd_server_quota_backend_bytes{job="etcd"}', legend: '{{instance}}' }],
        },
        {
          title: 'Size',
          description: 'Of the file, and what of it is in use. The difference is what defragmentation gives back.',
          unit: 'bytes',
          queries: [
            { expr: 'etcd_mvcc_db_total_size_in_bytes{job="etcd"}', legend: 'file {{instance}}' },
            { expr: 'etcd_mvcc_db_total_size_in_use_in_bytes{job="etcd"}', legend: 'in use {{instance}}' },
          ],
        },
        {
          title: 'Resident memory',
          description: 'etcd keeps an index of all keys in memory, and maps its file into it.',
          unit: 'bytes',
          queries: [{ expr: 'process_resident_memory_bytes{job="etcd"}', legend: '{{instance}}' }],
        },
      ],
    },
    {
      title: 'Writing',
      panels: [
        {
          title: 'Flush of the log, 99th percentile',
          description: 'Every write waits for it at a majority. Above 10 ms the disk is slow for etcd; above 100 ms leaders are at risk.',
          unit: 's',
          redFrom: 0.1,
          queries: [{ expr: 'histogram_quantile(0.99, sum by (le, instance) (rate(etcd_disk_wal_fsync_duration_seconds_bucket{job="etcd"}[5m])))', legend: '{{instance}}' }],
        },
        {
          title: 'Commit of the backend, 99th percentile',
          description: 'Writing the pages of the database; above 250 ms requests wait for it.',
          unit: 's',
          queries: [{ expr: 'histogram_quantile(0.99, sum by (le, instance) (rate(etcd_disk_backend_commit_duration_seconds_bucket{job="etcd"}[5m])))', legend: '{{instance}}' }],
        },
        {
          title: 'Slow applies',
          description: 'Requests that took longer than etcd expects, a second.',
          unit: 'cps',
          queries: [{ expr: 'rate(etcd_server_slow_apply_total{job="etcd"}[5m])', legend: '{{instance}}' }],
        },
      ],
    },
    {
      title: 'Requests',
      panels: [
        {
          title: 'Proposals',
          description: 'Writes that the members agreed on and carried out, a second. Applied lags behind committed at a member that can\'t keep up.',
          unit: 'ops',
          queries: [
            { expr: 'rate(etcd_server_proposals_committed_total{job="etcd"}[5m])', legend: 'committed {{instance}}' },
            { expr: 'rate(etcd_server_proposals_applied_total{job="etcd"}[5m])', legend: 'applied {{instance}}' },
          ],
        },
        {
          title: 'Proposals that wait or fail',
          description: 'Waiting: queued at the leader. Failed: in the last five minutes, because there was no leader or no majority.',
          unit: 'none',
          queries: [
            { expr: 'etcd_server_proposals_pending{job="etcd"}', legend: 'waiting {{instance}}' },
            { expr: 'increase(etcd_server_proposals_failed_total{job="etcd"}[5m])', legend: 'failed {{instance}}' },
          ],
        },
        {
          title: 'Calls',
          description: 'A second, by method. The servers write with Txn, renew with LeaseKeepAlive, and read only when they start to lead.',
          unit: 'ops',
          queries: [{ expr: 'sum by (grpc_method) (rate(grpc_server_handled_total{job="etcd"}[5m])) > 0', legend: '{{grpc_method}}' }],
        },
      ],
    },
  ],
};
