/** Creates the topics and subscriptions, at every partition. */

import type { QueueOperation } from '../../../services/kernel/queue/types.ts';
import { PARTITIONS } from '../world/cluster.ts';
import type { Creation } from '../world/setup.ts';
import { QUEUE, SUBSCRIPTIONS, TOPICS } from './plan.ts';

export function queueCreations(): Creation[] {
  const operations: QueueOperation[] = [
    ...TOPICS.map((config) => ({ type: 'createTopic', config }) as const),
    ...SUBSCRIPTIONS.map((config) => ({ type: 'createSubscription', config }) as const),
  ];
  return operations.flatMap((operation) => Array.from({ length: PARTITIONS }, (_, partition) => ({ service: QUEUE, partition, operation })));
}
