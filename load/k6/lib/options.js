// The options of a run: a profile's load for each flow of a workload, and what must hold.
import { secondsOf } from '../profiles/profile.ts';
import { AUDITED } from './audit.js';

/** Rates are whole numbers in k6: of a tenth of a second's they would be too coarse. */
const TIME_UNIT_S = 10;
/** Before that there is too little to judge by. */
const JUDGE_AFTER = '10s';

const given = (name, fallback) => (__ENV[name] === undefined || __ENV[name] === '' ? fallback : Number(__ENV[name]));

export function optionsFor(profile, workload) {
  const rate = given('RATE', profile.rate);
  const seconds = secondsOf(__ENV.DURATION || profile.duration);
  const maxVUs = given('MAX_VUS', Math.min(300, Math.max(50, rate * 2)));
  const scenarios = {};
  for (const [name, { share }] of Object.entries(workload.flows)) {
    scenarios[name] = {
      executor: 'ramping-arrival-rate',
      startRate: 0,
      timeUnit: `${TIME_UNIT_S}s`,
      preAllocatedVUs: Math.min(maxVUs, Math.max(10, Math.ceil(rate * share))),
      maxVUs,
      stages: profile.stages(seconds).map((stage) => ({
        target: Math.round(stage.share * share * rate * TIME_UNIT_S),
        duration: `${stage.seconds}s`,
      })),
      env: { FLOW: name },
    };
  }
  return {
    scenarios,
    thresholds: { ...limitsOf(profile, workload, rate, seconds), ...workload.thresholds, ...AUDITED },
    setupTimeout: '2m',
    teardownTimeout: '5m',
    summaryTrendStats: ['min', 'med', 'avg', 'p(95)', 'p(99)', 'max', 'count'],
  };
}

function limitsOf({ limits, isSearch, stages }, { timed }, rate, seconds) {
  const [p95, p99, failed] = [given('P95', limits.p95Ms), given('P99', limits.p99Ms), given('FAILED', limits.failed)];
  const limit = (...thresholds) => thresholds.map((threshold) => (isSearch ? { threshold, abortOnFail: true, delayAbortEval: JUDGE_AFTER } : threshold));
  const thresholds = {};
  for (const operation of timed) {
    thresholds[`operation_duration{operation:${operation}}`] = limit(`p(95)<${p95}`, `p(99)<${p99}`);
    thresholds[`operation_failed{operation:${operation}}`] = limit(`rate<=${failed}`);
  }
  let [planned, share] = [0, 0];
  for (const stage of stages(seconds)) {
    planned += (rate * stage.seconds * (share + stage.share)) / 2;
    share = stage.share;
  }
  thresholds.dropped_iterations = limit(`count<=${Math.ceil(planned * given('DROPPED', limits.dropped))}`);
  return thresholds;
}
