import type { Profile } from './profile.ts';

export const soak: Profile = {
  about: 'the usual load for long: what grows that should not, and what is lost over time',
  rate: 100,
  duration: '1h',
  limits: { p95Ms: 100, p99Ms: 500, failed: 0.001, dropped: 0.001 },
  stages: (seconds) => [
    { share: 1, seconds: seconds * 0.01 },
    { share: 1, seconds: seconds * 0.99 },
  ],
};
