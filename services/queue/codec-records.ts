/** The queue's records and their messages (proto/txmesh/record/v1/queue_record.proto). */

import type { ParticipantRecord } from '../gen/txmesh/record/v1/participant_record.ts';
import type {
  AckGroupRecord,
  DeliveryCounts,
  PositionSteps,
  PublisherTokens,
  PublisherTokensRecord,
  SegmentRecord as SegmentMessage,
} from '../gen/txmesh/record/v1/queue_record.ts';
import type { AckGroup, QueueRecord, SegmentRecord } from '../kernel/queue/types.ts';
import type { TokenGroup, TokenRecord } from '../kernel/sessions/types.ts';
import { copyOf } from '../runtime/participant/codec-protocol.ts';
import {
  fromRecordedSnapshot,
  fromRecordedSubscription,
  fromRecordedTopic,
  toRecordedSnapshot,
  toRecordedSubscription,
  toRecordedTopic,
} from './codec-config.ts';

type Message = NonNullable<ParticipantRecord['record']>;

const NO_BYTES = new Uint8Array(0);

/** Undefined: the record is none of the queue's. */
export function queueToMessage(record: QueueRecord): Message | undefined {
  switch (record.type) {
    case 'topic':
      return { $case: 'topic', value: { config: toRecordedTopic(record.config), nextPosition: record.nextPosition } };
    case 'segment':
      return { $case: 'segment', value: toSegment(record) };
    case 'payload':
      return { $case: 'messages', value: { messages: record.messages as Uint8Array[] } };
    case 'subscription':
      return { $case: 'subscription', value: { config: toRecordedSubscription(record.config) } };
    case 'snapshot':
      return { $case: 'snapshot', value: { config: toRecordedSnapshot(record.config) } };
    case 'cursor': {
      const { generation, floor, deliveredThrough, longestDeadlineMs, attempts } = record;
      return { $case: 'cursor', value: { generation, floor, deliveredThrough, longestDeadlineMs, attempts: toCounts(attempts) } };
    }
    case 'block': {
      const { acknowledged, delivered } = record;
      return { $case: 'ackBlock', value: { acknowledged, delivered: delivered ?? NO_BYTES, hasDelivered: delivered !== undefined } };
    }
    case 'acks':
      return { $case: 'acks', value: { groups: record.groups.map(toGroup) } };
    case 'deduplication':
      return { $case: 'deduplication', value: { publishMs: record.publishMs, ids: [...record.ids], positions: [...record.positions] } };
    case 'tokens':
      return { $case: 'publisherTokens', value: toTokens(record) };
    default:
      return undefined;
  }
}

/** Undefined: the message is none of the queue's. */
export function queueFromMessage(message: ParticipantRecord['record']): QueueRecord | undefined {
  switch (message?.$case) {
    case 'topic':
      return { type: 'topic', config: fromRecordedTopic(message.value.config!), nextPosition: message.value.nextPosition };
    case 'segment':
      return fromSegment(message.value);
    case 'messages':
      // Views into one buffer that is the record's own: they go together.
      return { type: 'payload', messages: message.value.messages };
    case 'subscription':
      return { type: 'subscription', config: fromRecordedSubscription(message.value.config!) };
    case 'snapshot':
      return { type: 'snapshot', config: fromRecordedSnapshot(message.value.config!) };
    case 'cursor':
      return { type: 'cursor', ...message.value, attempts: fromCounts(message.value.attempts) };
    case 'ackBlock': {
      const { acknowledged, delivered, hasDelivered } = message.value;
      return { type: 'block', acknowledged: copyOf(acknowledged), ...(hasDelivered && { delivered: copyOf(delivered) }) };
    }
    case 'acks':
      return { type: 'acks', groups: message.value.groups.map(fromGroup) };
    case 'deduplication':
      return { type: 'deduplication', ...message.value };
    case 'publisherTokens':
      return fromTokens(message.value);
    default:
      return undefined;
  }
}

const NO_NUMBERS: number[] = [];
const NO_TEXTS: string[] = [];

function toSegment({ first, publishMs, kept, sizes, keys, priorities, deliverAtMs, expireAtMs }: SegmentRecord): SegmentMessage {
  return {
    first,
    publishMs,
    kept,
    sizes: sizes as number[],
    keys: (keys as string[] | undefined) ?? NO_TEXTS,
    priorities: (priorities as number[] | undefined) ?? NO_NUMBERS,
    deliverAtMs: (deliverAtMs as number[] | undefined) ?? NO_NUMBERS,
    expireAtMs: (expireAtMs as number[] | undefined) ?? NO_NUMBERS,
  };
}

function fromSegment({ first, publishMs, kept, sizes, keys, priorities, deliverAtMs, expireAtMs }: SegmentMessage): SegmentRecord {
  return {
    type: 'segment',
    first,
    publishMs,
    kept,
    sizes,
    ...(keys.length > 0 && { keys }),
    ...(priorities.length > 0 && { priorities }),
    ...(deliverAtMs.length > 0 && { deliverAtMs }),
    ...(expireAtMs.length > 0 && { expireAtMs }),
  };
}

function toGroup({ owner, generation, acknowledged, delivered, attempts, longestDeadlineMs }: AckGroup): AckGroupRecord {
  const parts = { acknowledged: toSteps(acknowledged), delivered: toSteps(delivered), attempts: toCounts(attempts) };
  return { owner, generation, longestDeadlineMs, ...parts };
}

function fromGroup({ owner, generation, acknowledged, delivered, attempts, longestDeadlineMs }: AckGroupRecord): AckGroup {
  const parts = { acknowledged: fromSteps(acknowledged), delivered: fromSteps(delivered), attempts: fromCounts(attempts) };
  return { owner, generation, longestDeadlineMs, ...parts };
}

function toSteps(positions: readonly number[]): PositionSteps | undefined {
  if (positions.length === 0) return undefined;
  const steps: number[] = [];
  let last = positions[0]!;
  for (const position of positions) {
    steps.push(position - last);
    last = position;
  }
  return { first: positions[0]!, steps };
}

function fromSteps(message: PositionSteps | undefined): number[] {
  let position = message?.first ?? 0;
  return message?.steps.map((step) => (position += step)) ?? [];
}

/** From positions and counts in turn. */
function toCounts(attempts: readonly number[]): DeliveryCounts | undefined {
  if (attempts.length === 0) return undefined;
  const positions: number[] = [];
  const counts: number[] = [];
  for (let i = 0; i < attempts.length; i += 2) {
    positions.push(attempts[i]!);
    counts.push(attempts[i + 1]!);
  }
  return { positions, counts };
}

function fromCounts(message: DeliveryCounts | undefined): number[] {
  const attempts: number[] = [];
  message?.positions.forEach((position, i) => attempts.push(position, message.counts[i]!));
  return attempts;
}

/** A queue has no scopes. */
function toTokens({ floor, ended, groups }: TokenRecord<number>): PublisherTokensRecord {
  return { floor, ended: ended.map(({ session }) => session), groups: groups.map(toTokenGroup) };
}

function fromTokens({ floor, ended, groups }: PublisherTokensRecord): TokenRecord<number> {
  return { type: 'tokens', floor, dropped: [], ended: ended.map((session) => ({ scope: '', session })), groups: groups.map(fromTokenGroup) };
}

function toTokenGroup({ session, mark, sequences, results }: TokenGroup<number>): PublisherTokens {
  let last = mark;
  const steps = sequences.map((sequence) => {
    const step = sequence - last;
    last = sequence;
    return step;
  });
  return { session, mark, steps, positions: results as number[] };
}

function fromTokenGroup({ session, mark, steps, positions }: PublisherTokens): TokenGroup<number> {
  let last = mark;
  return { scope: '', session, mark, sequences: steps.map((step) => (last += step)), results: positions };
}
