import { quotaAgrees, referencesHold, servicesLead, settingsExist } from './consistency.ts';
import { available, bounded, drained, partitioned, patient, probed, scaled } from './operation.ts';
import type { Rule } from './rule.ts';
import { connected, fixedImages, lockedDown, noFaults, noToken, opened, restricted } from './security.ts';
import { collected, remembered, scraped } from './telemetry.ts';

export const RULES: readonly Rule[] = [
  lockedDown,
  restricted,
  noToken,
  fixedImages,
  connected,
  opened,
  noFaults,
  probed,
  bounded,
  available,
  scaled,
  partitioned,
  patient,
  drained,
  settingsExist,
  referencesHold,
  servicesLead,
  quotaAgrees,
  scraped,
  collected,
  remembered,
];
