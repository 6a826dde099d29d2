import { quotaAgrees, referencesHold, servicesLead, settingsExist } from './consistency.ts';
import { available, bounded, drained, probed, scaled } from './operation.ts';
import type { Rule } from './rule.ts';
import { connected, fixedImages, lockedDown, noFaults, noToken, restricted } from './security.ts';

export const RULES: readonly Rule[] = [
  lockedDown,
  restricted,
  noToken,
  fixedImages,
  connected,
  noFaults,
  probed,
  bounded,
  available,
  scaled,
  drained,
  settingsExist,
  referencesHold,
  servicesLead,
  quotaAgrees,
];
