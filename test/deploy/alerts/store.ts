import { buckets, pod, series, type AlertCases, type PerMinute } from './alert-case.ts';

const failures = (name: string, values: string) => series('txmesh_store_failures_total', pod(name, { txmesh_reason: 'unavailable' }), values);
const writes = (perMinute: PerMinute) => buckets('txmesh_store_write_duration', pod('queue-0', { txmesh_service: 'queue' }), perMinute, 30);

export const store: AlertCases = {
  StoreFails: [
    {
      what: 'fires when requests fail for ten minutes',
      series: [failures('queue-0', '0+2x30'), failures('counter-0', '0x30')],
      at: '15m',
      fires: [{ labels: { txmesh_reason: 'unavailable' } }],
    },
    { what: 'is quiet when a member of etcd was restarted', series: [failures('queue-0', '0x2 12x30'), failures('counter-0', '0x3 7x30')], at: '14m', fires: [] },
  ],
  StoreNearlyFull: [
    {
      what: 'fires at nine tenths',
      series: [series('txmesh_store_size', pod('queue-0'), '900x10'), series('txmesh_store_limit', pod('queue-0'), '1000x10')],
      at: '6m',
      fires: [{ labels: { instance: 'queue-0' }, value: '90%' }],
    },
    { what: 'is quiet at seven tenths', series: [series('txmesh_store_size', pod('queue-0'), '700x10'), series('txmesh_store_limit', pod('queue-0'), '1000x10')], at: '6m', fires: [] },
    { what: 'is quiet where nothing limits the store', series: [series('txmesh_store_size', pod('queue-0'), '900x10')], at: '6m', fires: [] },
  ],
  StoreSlow: [
    {
      what: 'fires when one write in twenty takes up to a second for ten minutes',
      series: writes([['0.5', 95], ['1', 5], ['+Inf', 0]]),
      at: '15m',
      fires: [{ labels: { txmesh_service: 'queue' }, value: '900ms' }],
    },
    { what: 'is quiet when one in a thousand does', series: writes([['0.5', 999], ['1', 1], ['+Inf', 0]]), at: '15m', fires: [] },
  ],
};
