/** What transactions do with queues. */

import type { DeliveryTag, QueueOperation, SeekTarget } from '../../../services/kernel/queue/types.ts';
import type { Step } from '../work/step.ts';
import { PARTITIONS } from '../world/cluster.ts';
import { opaqueOf } from '../world/opaque.ts';
import type { PublishedMessage } from './history.ts';
import { messageOf } from './messages.ts';
import { QUEUE } from './plan.ts';

export function publish(message: PublishedMessage): Step {
  return at(message.partition, { type: 'publish', topic: message.topic, message: messageOf(message) });
}

export function acknowledge(partition: number, subscription: string, tag: DeliveryTag): Step {
  return at(partition, { type: 'acknowledge', subscription, tag });
}

/** At every partition in one transaction. */
export function seek(subscription: string, target: SeekTarget): Step[] {
  return everywhere({ type: 'seek', subscription, target });
}

export function purge(topic: string): Step[] {
  return everywhere({ type: 'purgeTopic', name: topic });
}

function everywhere(operation: QueueOperation): Step[] {
  return Array.from({ length: PARTITIONS }, (_, partition) => at(partition, operation));
}

function at(partition: number, operation: QueueOperation): Step {
  return { participant: QUEUE, partition, readOnly: false, operation: opaqueOf(operation) };
}
