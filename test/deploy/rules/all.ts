import { quotaAgrees, referencesHold, servicesLead, settingsExist } from './consistency.ts';
import { available, bounded, drained, probed } from './operation.ts';
import type { Rule } from './rule.ts';
import { connected, fixedImages, lockedDown, noToken } from './security.ts';
import { collected, scraped } from './telemetry.ts';

export const RULES: readonly Rule[] = [
  lockedDown,
  noToken,
  fixedImages,
  connected,
  probed,
  bounded,
  available,
  drained,
  settingsExist,
  referencesHold,
  servicesLead,
  quotaAgrees,
  scraped,
  collected,
];
