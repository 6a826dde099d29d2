import type { Profile } from './profile.ts';

export const stress: Profile = {
  about: 'more than usual: the load grows in three steps, and each stays for a while',
  rate: 600,
  duration: '3m',
  limits: { p95Ms: 500, p99Ms: 2000, failed: 0.01, dropped: 0.05 },
  stages: (seconds) =>
    [1 / 3, 2 / 3, 1].flatMap((share) => [
      { share, seconds: seconds * 0.05 },
      { share, seconds: seconds * 0.25 },
    ]).concat({ share: 0, seconds: seconds * 0.1 }),
};
