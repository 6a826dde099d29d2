/** What transactions do with queues. */

import { AcknowledgeOperation, PublishOperation, type ConfigureOperation } from '../../../services/gen/txmesh/queue/v1/operations.ts';
import type { OpaqueOperation } from '../../../services/kernel/messages.ts';
import type { DeliveryTag, SeekTarget } from '../../../services/kernel/queue/types.ts';
import { formatAckId, formatMessageId, Routes } from '../../../services/queue/codec-ids.ts';
import { configureOperation } from '../../../services/queue/codec-operations.ts';
import { toTimestamp } from '../../../services/runtime/transport/time.ts';
import type { Step } from '../work/step.ts';
import { PARTITIONS } from '../world/cluster.ts';
import { opaqueOf } from '../world/opaque.ts';
import type { PublishedMessage } from './history.ts';
import { messageOf, wireMessageOf } from './messages.ts';
import { QUEUE } from './plan.ts';

const PACKAGE = 'type.googleapis.com/txmesh.queue.v1.';
const ROUTES = new Routes(PARTITIONS);

export function publish(message: PublishedMessage): Step {
  const { topic, partition } = message;
  // The codec holds a delivery time against the clock of this process, which is not the simulated one.
  if (message.deliverAtMs > 0) return at(partition, opaqueOf({ type: 'publish', topic, message: messageOf(message) }));
  return at(partition, { typeUrl: `${PACKAGE}PublishOperation`, value: PublishOperation.encode({ topic, message: wireMessageOf(message) }).finish() });
}

export function acknowledge(partition: number, subscription: string, tag: DeliveryTag): Step {
  const ackId = formatAckId(ROUTES.of(partition), tag);
  return at(partition, { typeUrl: `${PACKAGE}AcknowledgeOperation`, value: AcknowledgeOperation.encode({ subscription, ackId }).finish() });
}

/** At every partition in one transaction. */
export function seek(subscription: string, target: SeekTarget): Step[] {
  return everywhere({ $case: 'seek', value: { subscription, target: wireTargetOf(target) } });
}

export function purge(topic: string): Step[] {
  return everywhere({ $case: 'purgeTopic', value: topic });
}

/** Kept for an hour. */
export function snapshot(name: string, subscription: string, topic: string, createMs: number): Step[] {
  const value = { name, subscription, topic, expireTime: toTimestamp(createMs + 3_600_000), createTime: toTimestamp(createMs) };
  return everywhere({ $case: 'createSnapshot', value });
}

type Change = NonNullable<ConfigureOperation['change']>;
type WireTarget = Extract<Change, { readonly $case: 'seek' }>['value']['target'];

function wireTargetOf(target: SeekTarget): WireTarget {
  switch (target.type) {
    case 'time':
      return { $case: 'time', value: toTimestamp(target.timeMs) };
    case 'end':
      return { $case: 'end', value: true };
    case 'snapshot':
      return { $case: 'snapshot', value: target.snapshot };
    case 'positions': {
      const messageIds = [...target.byPartition].map(([partition, position]) => formatMessageId({ partition, position, incarnation: 0 }));
      return { $case: 'positions', value: { messageIds } };
    }
  }
}

function everywhere(change: Change): Step[] {
  const operation = configureOperation(change);
  return Array.from({ length: PARTITIONS }, (_, partition) => at(partition, operation));
}

function at(partition: number, operation: OpaqueOperation): Step {
  return { participant: QUEUE, partition, readOnly: false, operation };
}
