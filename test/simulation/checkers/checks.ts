/** Every checker that looks at the history. */

import { checkCounters } from '../counter/checkers/checks.ts';
import type { History } from '../history.ts';
import { checkBalances } from '../keys/balances.ts';
import { checkReads } from '../keys/linearizable.ts';
import { nameOf, OPENING, type Places } from '../keys/places.ts';
import { checkQueues } from '../queue/checkers/checks.ts';
import { checkAtomicity, checkOneOutcome } from './outcomes.ts';
import { checkSerializable } from './serializable.ts';

/** What holds at any time. */
export function checkAlways(history: History): string[] {
  return checkOneOutcome(history);
}

/** What holds when everything has come to an end. */
export function checkAtRest(history: History, { accounts }: Places): string[] {
  return [
    ...checkAlways(history),
    ...checkAtomicity(history),
    ...checkReads(history),
    ...checkSerializable(history),
    ...checkBalances(history, accounts.map(nameOf), OPENING),
    ...checkCounters(history),
    ...checkQueues(history),
  ];
}
