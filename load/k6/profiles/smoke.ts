import type { Profile } from './profile.ts';

export const smoke: Profile = {
  about: 'does it work at all: a few operations a second for a short time',
  rate: 20,
  duration: '20s',
  limits: { p95Ms: 1000, p99Ms: 4000, failed: 0, dropped: 0.1 },
  stages: (seconds) => [
    { share: 1, seconds: 0 },
    { share: 1, seconds },
  ],
};
