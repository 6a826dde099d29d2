// An ordinary day: the load grows to its usual height, stays, and falls.
import { audit, CORRECT, open, transfer } from '../lib/bank.js';

const RATE = Number(__ENV.RATE || 200);
const RAMP = '15s';

export const options = {
  scenarios: {
    transfers: {
      executor: 'ramping-arrival-rate',
      startRate: 0,
      stages: [
        { target: RATE, duration: RAMP },
        { target: RATE, duration: __ENV.DURATION || '2m' },
        { target: 0, duration: RAMP },
      ],
      preAllocatedVUs: 50,
      maxVUs: 200,
    },
  },
  thresholds: {
    transaction_duration: ['p(95)<100', 'p(99)<500'],
    transaction_failed: ['rate<0.001'],
    dropped_iterations: ['count<10'],
    ...CORRECT,
  },
};

export const setup = open;
export default transfer;
export const teardown = audit;
