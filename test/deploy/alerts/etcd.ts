import { buckets, member, series, type AlertCases, type PerMinute, type Series } from './alert-case.ts';

const up = (values: Readonly<Record<number, string>>): Series[] => [0, 1, 2].map((number) => series('up', member(number), values[number] ?? '1x20'));
const flushes = (number: number, perMinute: PerMinute) => buckets('etcd_disk_wal_fsync_duration_seconds', member(number), perMinute, 30);
const filled = (bytes: number): Series[] => [
  series('etcd_mvcc_db_total_size_in_bytes', member(0), `${bytes}x10`),
  series('etcd_server_quota_backend_bytes', member(0), '1000x10'),
];

export const etcd: AlertCases = {
  EtcdMemberDown: [
    { what: 'fires for a member that has not answered for two minutes', series: up({ 1: '1x2 0x20' }), at: '5m', fires: [{ labels: member(1) }] },
    { what: 'is quiet while a member restarts', series: up({ 1: '1x2 0 0 1x20' }), at: '4m', fires: [] },
  ],
  EtcdNoLeader: [
    {
      what: 'fires for the member that knows no leader for a minute',
      series: [series('etcd_server_has_leader', member(0), '1x20'), series('etcd_server_has_leader', member(2), '1x2 0x20')],
      at: '4m',
      fires: [{ labels: member(2) }],
    },
    { what: 'is quiet during an election', series: [series('etcd_server_has_leader', member(2), '1x2 0 1x20')], at: '3m', fires: [] },
  ],
  EtcdNearQuota: [
    { what: 'fires at nine tenths', series: filled(900), at: '6m', fires: [{ labels: member(0), value: '90%' }] },
    { what: 'is quiet at half', series: filled(500), at: '6m', fires: [] },
  ],
  EtcdSlowDisk: [
    {
      what: 'fires for the member that needs a fifth of a second for one flush in twenty',
      series: [...flushes(0, [['0.128', 95], ['0.256', 5], ['+Inf', 0]]), ...flushes(1, [['0.008', 100], ['+Inf', 0]])],
      at: '15m',
      fires: [{ labels: { instance: 'etcd-0' }, value: '230.4ms' }],
    },
    { what: 'is quiet when one in a thousand is slow', series: flushes(0, [['0.008', 999], ['0.256', 1], ['+Inf', 0]]), at: '15m', fires: [] },
  ],
};
