/** Every checker of counters that looks at the history. */

import type { History } from '../../history.ts';
import { COUNTERS } from '../plan.ts';
import { checkLedger } from './ledgers.ts';
import { checkValues } from './values.ts';

export function checkCounters(history: History): string[] {
  return COUNTERS.flatMap((counter) =>
    counter.role === 'ledger' ? checkLedger(history, counter.name, { linearizable: counter.kind !== 'queued' }) : checkValues(history, counter));
}
