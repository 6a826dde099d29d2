import type { Profile } from './profile.ts';

export const breakpoint: Profile = {
  about: 'how much is too much: the load grows until a limit breaks, which ends the run',
  rate: 4000,
  duration: '5m',
  limits: { p95Ms: 1000, p99Ms: 5000, failed: 0.01, dropped: 0.05 },
  isSearch: true,
  stages: (seconds) => [{ share: 1, seconds }],
};
