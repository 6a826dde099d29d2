/** Every checker of queues. */

import type { History } from '../../history.ts';
import { checkCompleteness } from './completeness.ts';
import { checkDeadLetters } from './dead-letters.ts';
import { checkDeliveries } from './deliveries.ts';
import { checkExactlyOnce } from './exactly-once.ts';
import { Facts } from './facts.ts';
import { checkFairness } from './fairness.ts';
import { checkOrder } from './order.ts';
import { checkPriority } from './priority.ts';
import { checkPublishing } from './publishing.ts';
import { checkSequential } from './sequential.ts';
import { checkAcknowledgedOnce, checkUntouched } from './transactional.ts';

const CHECKERS = [
  checkPublishing,
  checkOrder,
  checkDeliveries,
  checkAcknowledgedOnce,
  checkUntouched,
  checkSequential,
  checkPriority,
  checkExactlyOnce,
  checkFairness,
  checkDeadLetters,
  checkCompleteness,
];

/** When everything has come to rest and every subscription was emptied. */
export function checkQueues(history: History): string[] {
  const facts = new Facts(history);
  return CHECKERS.flatMap((check) => check(facts));
}
