import { quotaAgrees, referencesHold, servicesLead, settingsExist } from './consistency.ts';
import { available, bounded, drained, probed } from './operation.ts';
import type { Rule } from './rule.ts';
import { connected, fixedImages, lockedDown, noFaults, noToken } from './security.ts';

export const RULES: readonly Rule[] = [
  lockedDown,
  noToken,
  fixedImages,
  connected,
  noFaults,
  probed,
  bounded,
  available,
  drained,
  settingsExist,
  referencesHold,
  servicesLead,
  quotaAgrees,
];
