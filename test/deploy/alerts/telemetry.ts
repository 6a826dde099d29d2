import { series, type AlertCases } from './alert-case.ts';

const collector = { job: 'opentelemetry-collector', instance: '10.0.0.7:8888' };

export const telemetry: AlertCases = {
  CollectorDown: [
    { what: 'fires when it does not answer for five minutes', series: [series('up', collector, '1x2 0x20')], at: '9m', fires: [{ labels: collector }] },
    { what: 'is quiet while it restarts', series: [series('up', collector, '1x2 0x3 1x20')], at: '8m', fires: [] },
  ],
};
