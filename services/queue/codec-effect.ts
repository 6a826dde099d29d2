/** What the commit of a branch does at a queue, and its message. */

import type { PreparedBranchRecord } from '../gen/txmesh/record/v1/participant_record.ts';
import type { QueueWrite as WriteMessage, SeekWrite } from '../gen/txmesh/record/v1/queue_record.ts';
import type { QueueEffect, QueueWrite, SeekTarget } from '../kernel/queue/types.ts';
import { copyOf, type EffectCodec } from '../runtime/participant/codec-protocol.ts';
import {
  fromRecordedSnapshot,
  fromRecordedSubscription,
  fromRecordedTopic,
  toRecordedSnapshot,
  toRecordedSubscription,
  toRecordedTopic,
} from './codec-config.ts';

type EffectMessage = NonNullable<PreparedBranchRecord['effect']>;

export const queueEffects: EffectCodec<QueueEffect> = {
  toMessage: ({ writes }) => ({ $case: 'queue', value: { writes: writes.map((write) => ({ write: toWrite(write) })) } }),
  fromMessage(message: EffectMessage) {
    if (message.$case !== 'queue') throw new Error(`an effect of kind ${message.$case} is none of a queue's`);
    return { writes: message.value.writes.map(fromWrite) };
  },
};

function toWrite(write: QueueWrite): NonNullable<WriteMessage['write']> {
  switch (write.type) {
    case 'publish': {
      const { encoded, ...rest } = write.message;
      return { $case: 'publish', value: { topic: write.topic, message: encoded, ...rest } };
    }
    case 'acknowledge': {
      const { topic, subscription, generation, position } = write;
      return { $case: 'acknowledge', value: { topic, subscription, generation, position } };
    }
    case 'createTopic':
      return { $case: 'createTopic', value: toRecordedTopic(write.config) };
    case 'putTopic':
      return { $case: 'updateTopic', value: toRecordedTopic(write.config) };
    case 'deleteTopic':
    case 'purgeTopic':
    case 'deleteSubscription':
    case 'detachSubscription':
    case 'deleteSnapshot':
      return { $case: write.type, value: write.name };
    case 'createSubscription':
      return { $case: 'createSubscription', value: toRecordedSubscription(write.config) };
    case 'putSubscription':
      return { $case: 'updateSubscription', value: toRecordedSubscription(write.config) };
    case 'seek':
      return { $case: 'seek', value: { subscription: write.subscription, ...toTarget(write.target) } };
    case 'createSnapshot':
      return { $case: 'createSnapshot', value: toRecordedSnapshot(write.config) };
  }
}

function fromWrite({ write }: WriteMessage): QueueWrite {
  switch (write?.$case) {
    case 'publish': {
      const { topic, message, orderingKey, priority, deliverAtMs, delayMs, timeToLiveMs, deduplicationId } = write.value;
      const encoded = copyOf(message);
      return { type: 'publish', topic, message: { encoded, orderingKey, priority, deliverAtMs, delayMs, timeToLiveMs, deduplicationId } };
    }
    case 'acknowledge':
      return { type: 'acknowledge', ...write.value };
    case 'createTopic':
      return { type: 'createTopic', config: fromRecordedTopic(write.value) };
    case 'updateTopic':
      return { type: 'putTopic', config: fromRecordedTopic(write.value) };
    case 'deleteTopic':
    case 'purgeTopic':
    case 'deleteSubscription':
    case 'detachSubscription':
    case 'deleteSnapshot':
      return { type: write.$case, name: write.value };
    case 'createSubscription':
      return { type: 'createSubscription', config: fromRecordedSubscription(write.value) };
    case 'updateSubscription':
      return { type: 'putSubscription', config: fromRecordedSubscription(write.value) };
    case 'seek':
      return { type: 'seek', subscription: write.value.subscription, target: fromTarget(write.value) };
    case 'createSnapshot':
      return { type: 'createSnapshot', config: fromRecordedSnapshot(write.value) };
    case undefined:
      throw new Error('a write of a queue is of a kind that this version does not know; run a newer version');
  }
}

function toTarget(target: SeekTarget): Omit<SeekWrite, 'subscription'> {
  const nothing = { timeMs: 0, hasTime: false, snapshot: '', positions: [] };
  switch (target.type) {
    case 'time':
      return { ...nothing, timeMs: target.timeMs, hasTime: true };
    case 'snapshot':
      return { ...nothing, snapshot: target.snapshot };
    case 'positions':
      return { ...nothing, positions: Array.from(target.byPartition, ([partition, position]) => ({ partition, position })) };
    case 'end':
      return nothing;
  }
}

function fromTarget({ timeMs, hasTime, snapshot, positions }: SeekWrite): SeekTarget {
  if (hasTime) return { type: 'time', timeMs };
  if (snapshot !== '') return { type: 'snapshot', snapshot };
  if (positions.length === 0) return { type: 'end' };
  return { type: 'positions', byPartition: new Map(positions.map(({ partition, position }) => [partition, position])) };
}
