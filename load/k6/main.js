// A profile's load of a workload: PROFILE and WORKLOAD name them, RATE, DURATION, MAX_VUS, P95, P99,
// FAILED, DROPPED, KEYS and SIZE change them. docs/load-test.md has the rest.
import exec from 'k6/execution';
import { Gauge } from 'k6/metrics';
import { optionsFor } from './lib/options.js';
import { PROFILES } from './profiles/all.ts';
import { counter } from './workloads/counter.js';
import { mixed } from './workloads/mixed.js';
import { queue } from './workloads/queue.js';
import { transactions } from './workloads/transactions.js';

const WORKLOADS = { transactions, queue, counter, mixed };

function choose(variable, choices, fallback) {
  const name = __ENV[variable] || fallback;
  if (choices[name] === undefined) throw new Error(`${variable} is "${name}", and must be one of ${Object.keys(choices).join(', ')}`);
  return choices[name];
}

const profile = choose('PROFILE', PROFILES, 'smoke');
const workload = choose('WORKLOAD', WORKLOADS, 'transactions');

export const options = optionsFor(profile, workload);

/** How far the load has grown, operations a second; its highest value is where a search ended. */
const offeredRate = new Gauge('offered_rate');

export const setup = workload.open;

export default function (run) {
  if (profile.isSearch && __ENV.FLOW === Object.keys(workload.flows)[0])
    offeredRate.add(exec.scenario.progress * Number(__ENV.RATE || profile.rate));
  workload.flows[__ENV.FLOW].run(run);
}

export const teardown = workload.audit;
