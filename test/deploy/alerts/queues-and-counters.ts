import { pod, series, type AlertCases } from './alert-case.ts';

const subscription = { txmesh_participant: 'queue', txmesh_subscription: 'billing' };
const oldest = (values: string) => series('txmesh_queue_oldest_unacknowledged_age', pod('queue-0', subscription), values);
const givenUp = (values: string) => series('txmesh_queue_dead_lettered_total', pod('queue-0', subscription), values);
const kind = { txmesh_participant: 'counter', txmesh_kind: 'replicated' };
const behind = (values: string) => series('txmesh_counter_freshness', pod('counter-0', kind), values);

export const queuesAndCounters: AlertCases = {
  BacklogOld: [
    { what: 'fires when a message waits for a quarter of an hour', series: [oldest('0+60x30')], at: '20m', fires: [{ labels: subscription, value: '20m 0s' }] },
    { what: 'is quiet while consumers keep up', series: [oldest('5x30')], at: '20m', fires: [] },
    { what: 'is quiet when the backlog was worked off', series: [oldest('0+60x12 5x30')], at: '20m', fires: [] },
  ],
  MessagesDeadLettered: [
    { what: 'fires with the first message ever, which begins the series', series: [givenUp('_x5 2x30')], at: '6m', fires: [{ labels: subscription, value: '2' }] },
    { what: 'fires with later ones', series: [givenUp('3x20 4x10')], at: '24m', fires: [{ labels: subscription, value: '1.071' }] },
    { what: 'is quiet a quarter of an hour later', series: [givenUp('_x5 2x30')], at: '25m', fires: [] },
  ],
  CounterBehind: [
    { what: 'fires when reads are a minute behind for five', series: [behind('0+30x20')], at: '10m', fires: [{ labels: kind, value: '5m 0s' }] },
    { what: 'is quiet while what was added is soon told', series: [behind('0 30 90 1x20')], at: '8m', fires: [] },
  ],
};
