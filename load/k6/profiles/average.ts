import type { Profile } from './profile.ts';

export const average: Profile = {
  about: 'an ordinary day: the load grows to its usual height, stays, and falls',
  rate: 200,
  duration: '150s',
  limits: { p95Ms: 100, p99Ms: 500, failed: 0.001, dropped: 0.001 },
  stages: (seconds) => [
    { share: 1, seconds: seconds * 0.1 },
    { share: 1, seconds: seconds * 0.8 },
    { share: 0, seconds: seconds * 0.1 },
  ],
};
