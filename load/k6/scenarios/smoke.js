// Does it work at all: a few transactions a second for a short time.
import { audit, CORRECT, open, transfer } from '../lib/bank.js';

export const options = {
  scenarios: {
    transfers: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 20),
      duration: __ENV.DURATION || '20s',
      preAllocatedVUs: 25,
      maxVUs: 50,
    },
  },
  thresholds: {
    transaction_duration: ['p(95)<250', 'p(99)<1000'],
    transaction_failed: ['rate==0'],
    dropped_iterations: ['count<5'],
    ...CORRECT,
  },
};

export const setup = open;
export default transfer;
export const teardown = audit;
