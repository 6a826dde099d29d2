import type { Profile } from './profile.ts';

export const spike: Profile = {
  about: 'a sudden rush: a tenth of the rate, then all of it within seconds, then a tenth again',
  rate: 1000,
  duration: '1m',
  limits: { p95Ms: 2000, p99Ms: 5000, failed: 0.01, dropped: 0.25 },
  stages: (seconds) => [
    { share: 0.1, seconds: 0 },
    { share: 0.1, seconds: seconds * 0.25 },
    { share: 1, seconds: seconds * 0.05 },
    { share: 1, seconds: seconds * 0.25 },
    { share: 0.1, seconds: seconds * 0.05 },
    { share: 0.1, seconds: seconds * 0.4 },
  ],
};
