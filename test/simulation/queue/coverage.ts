/** How often what the checkers of queues look for was there to be seen. */

import { Facts } from './checkers/facts.ts';
import type { History } from '../history.ts';
import { DEAD } from './plan.ts';

export function coverage(history: History): Readonly<Record<string, number>> {
  const facts = new Facts(history);
  let transactional = 0;
  for (const acknowledgements of facts.allAcknowledgements()) {
    if (acknowledgements.some(({ writer, state }) => writer !== undefined && state === 'done')) transactional++;
  }
  const servedTogether = Map.groupBy(history.queue.pulls, ({ subscription, partition, epoch, leftMs }) => `${subscription}/${partition}/${epoch}/${leftMs}`);
  return {
    'messages acknowledged in transactions': transactional,
    'dead letters': history.queue.storedIn(DEAD).length,
    'pulls served side by side': [...servedTogether.values()].filter((pulls) => pulls.filter(({ got }) => got > 0).length > 1).length,
  };
}
