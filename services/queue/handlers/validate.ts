/** Rules of QueueService's requests, a table for each; see queue.proto. */

import type { Timestamp } from '../../gen/google/protobuf/timestamp.ts';
import {
  type AcknowledgeRequest,
  type CreateSnapshotRequest,
  type CreateSubscriptionRequest,
  type CreateTopicRequest,
  type DeadLetterPolicy,
  type ListSnapshotsRequest,
  type ListSubscriptionsRequest,
  type ListTopicsRequest,
  type Message,
  Mode,
  type ModifyAckDeadlineRequest,
  Overflow,
  type PublishRequest,
  type PullRequest,
  type Retention,
  type RetryPolicy,
  type SeekRequest,
  type Snapshot,
  StartFrom,
  Storage,
  type Subscription,
  SubscriptionState,
  type Topic,
  type UpdateSubscriptionRequest,
  type UpdateTopicRequest,
} from '../../gen/txmesh/queue/v1/queue.ts';
import { parseFilter } from '../../kernel/queue/filter.ts';
import { LIMITS } from '../../kernel/queue/types.ts';
import { MAX_AHEAD } from '../../kernel/sessions/types.ts';
import {
  anything,
  both,
  bytesUpTo,
  duration,
  enumOf,
  list,
  message,
  notEmpty,
  optional,
  orEmpty,
  pageSize,
  pattern,
  required,
  type Rule,
  serviceName,
  textUpTo,
  timestamp,
  transactionId,
  type Violations,
  wholeNumber,
} from '../../runtime/router/rules.ts';
import { durationMs, timestampMs } from '../../runtime/transport/time.ts';
import { SUBSCRIPTION_PATHS, TOPIC_PATHS } from '../codec-api.ts';
import { MAX_ACK_ID_BYTES, parseAckId, parseMessageId } from '../codec-ids.ts';
import { MESSAGE_LIMITS } from '../codec-messages.ts';

const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Of one call. */
export const CALL_LIMITS = {
  publishMessages: 1000,
  publishBytes: 4 * 1024 * 1024,
  pullMessages: 1000,
  pullBytes: 3 * 1024 * 1024,
  pullWaitMs: 60_000,
  ackIds: LIMITS.tags,
  streamMessages: 100_000,
  streamBytes: 1024 * 1024 * 1024,
  /** Shortest and longest acknowledgement deadline, milliseconds. */
  leastDeadlineMs: 10,
  mostDeadlineMs: 12 * HOUR_MS,
} as const;

/** Of a topic, a subscription or a snapshot; times in milliseconds. */
export const CONFIG_LIMITS = {
  leastAgeMs: SECOND_MS,
  mostAgeMs: 366 * DAY_MS,
  messages: 100_000_000,
  leastBytes: 2 ** 20,
  mostBytes: 2 ** 40,
  leastDeduplicationMs: SECOND_MS,
  mostDeduplicationMs: DAY_MS,
  filterBytes: 1024,
  backoffMs: 600 * SECOND_MS,
  deliveryAttempts: 100,
  leastAgeingMs: 100,
  mostAgeingMs: HOUR_MS,
  leastSnapshotMs: 60_000,
  mostSnapshotMs: 7 * DAY_MS,
} as const;

/** Empty: the service with the usual name. */
export const participant: Rule<string> = orEmpty(serviceName);

export const objectName: Rule<string> = pattern(
  /^[A-Za-z0-9][\w.-]{0,127}$/,
  "must be 1 to 128 characters of a-z, A-Z, 0-9, '_', '-' and '.', beginning with a letter or a digit",
);

const requestId = orEmpty(transactionId);
const deadline = duration(CALL_LIMITS.leastDeadlineMs, CALL_LIMITS.mostDeadlineMs);
export const ackDeadline = optional(deadline);
export const movedDeadline = optional(duration(0, CALL_LIMITS.mostDeadlineMs));

const noControlCharacters: Rule<string> = (value, path, found) => {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return found.add(path, `must not have control characters, has one at ${i}`);
  }
};

// Messages

const attributesRule: Rule<Record<string, string>> = (attributes, path, found) => {
  const entries = Object.entries(attributes);
  if (entries.length > MESSAGE_LIMITS.attributes) return found.exceed(path, `has ${entries.length} entries, the limit is ${MESSAGE_LIMITS.attributes}`);
  let bytes = 0;
  for (const [key, value] of entries) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    notEmpty(key, `${path}.key`, found);
    textUpTo(MESSAGE_LIMITS.attributeKeyBytes)(key, `${path}.key`, found);
    textUpTo(MESSAGE_LIMITS.attributeValueBytes)(value, `${path}["${key.slice(0, 40)}"]`, found);
  }
  if (bytes > MESSAGE_LIMITS.attributesBytes) found.exceed(path, `have ${bytes} bytes together, the limit is ${MESSAGE_LIMITS.attributesBytes}`);
};

export const messageRule: Rule<Message> = both(
  message<Message>({
    data: bytesUpTo(MESSAGE_LIMITS.dataBytes),
    attributes: attributesRule,
    orderingKey: both(textUpTo(MESSAGE_LIMITS.orderingKeyBytes), noControlCharacters),
    priority: wholeNumber(0, MESSAGE_LIMITS.priority),
    deliverTime: optional(timestamp),
    delay: optional(duration(0, MESSAGE_LIMITS.durationMs)),
    timeToLive: optional(duration(1, MESSAGE_LIMITS.durationMs)),
    deduplicationId: both(textUpTo(MESSAGE_LIMITS.deduplicationIdBytes), noControlCharacters),
    traceparent: textUpTo(MESSAGE_LIMITS.traceparentBytes),
  }),
  ({ deliverTime, delay }, path, found) => {
    const at = path === '' ? '' : `${path}.`;
    if (deliverTime !== undefined && delay !== undefined) found.add(`${at}delay`, 'must be absent where deliver_time is set');
    if (deliverTime !== undefined && timestampMs(deliverTime) > Date.now() + MESSAGE_LIMITS.durationMs) found.add(`${at}deliver_time`, 'must be at most 366 days ahead');
  },
);

/** A session says which of its messages it may repeat; without one there is nothing to say. */
const tokens = ({ session, firstSequence, settledBelow }: PublishRequest, found: Violations): void => {
  if (session === '') {
    if (firstSequence !== 0) found.add('first_sequence', 'must be 0 without a session');
    if (settledBelow !== 0) found.add('settled_below', 'must be 0 without a session');
    return;
  }
  if (firstSequence < 1) found.add('first_sequence', 'must be at least 1 with a session');
  if (settledBelow < 1 || settledBelow > firstSequence) found.add('settled_below', 'must be from 1 to first_sequence');
  else if (firstSequence - settledBelow > MAX_AHEAD) found.add('settled_below', `must be at most ${MAX_AHEAD} below first_sequence`);
};

export const publishRequest: Rule<PublishRequest> = both(
  message<PublishRequest>({
    participant,
    topic: objectName,
    messages: list(1, CALL_LIMITS.publishMessages, messageRule),
    session: orEmpty(transactionId),
    firstSequence: wholeNumber(0, Number.MAX_SAFE_INTEGER - CALL_LIMITS.publishMessages),
    settledBelow: wholeNumber(0, Number.MAX_SAFE_INTEGER),
    partition: optional(wholeNumber(0, 0xffff)),
    sequenceOffsets: (offsets, path, found) => {
      const seen = new Set<number>();
      offsets.forEach((offset, i) => {
        if (seen.has(offset)) found.add(`${path}[${i}]`, 'is named twice');
        seen.add(offset);
        wholeNumber(0, MAX_AHEAD)(offset, `${path}[${i}]`, found);
      });
    },
  }),
  (request, _, found) => {
    tokens(request, found);
    const { sequenceOffsets, messages } = request;
    if (sequenceOffsets.length > 0 && sequenceOffsets.length !== messages.length) found.add('sequence_offsets', 'must be empty, or one for each message');
    const bytes = request.messages.reduce((sum, { data }) => sum + data.length, 0);
    if (bytes > CALL_LIMITS.publishBytes) found.exceed('messages', `have ${bytes} bytes together, the limit is ${CALL_LIMITS.publishBytes}`);
  },
);

// Topics

const retention: Rule<Retention> = both(
  message<Retention>({
    maxAge: optional(duration(CONFIG_LIMITS.leastAgeMs, CONFIG_LIMITS.mostAgeMs)),
    maxMessages: wholeNumber(0, CONFIG_LIMITS.messages),
    maxBytes: (value, path, found) => {
      if (value !== 0) wholeNumber(CONFIG_LIMITS.leastBytes, CONFIG_LIMITS.mostBytes)(value, path, found);
    },
    overflow: enumOf(Overflow),
    acknowledgedAge: optional(duration(1, CONFIG_LIMITS.mostAgeMs)),
  }),
  ({ maxAge, acknowledgedAge }, path, found) => {
    if (maxAge !== undefined && acknowledgedAge !== undefined && durationMs(acknowledgedAge) > durationMs(maxAge))
      found.add(`${path}.acknowledged_age`, 'must not be longer than max_age');
  },
);

export const topicRule: Rule<Topic> = message<Topic>({
  name: objectName,
  storage: enumOf(Storage),
  retention: optional(retention),
  deduplicationWindow: optional(duration(CONFIG_LIMITS.leastDeduplicationMs, CONFIG_LIMITS.mostDeduplicationMs)),
  createTime: anything,
  version: wholeNumber(0, Number.MAX_SAFE_INTEGER),
});

export const createTopicRequest: Rule<CreateTopicRequest> = message<CreateTopicRequest>({ participant, topic: required(topicRule), requestId });

export const mask = (paths: readonly string[]): Rule<readonly string[] | undefined> =>
  required((named: readonly string[], path, found) => {
    if (named.length === 0) found.add(path, `must name what is to be changed: ${paths.join(', ')}`);
    named.forEach((name, i) => {
      if (!paths.includes(name)) found.add(`${path}.paths[${i}]`, `is "${name}"; can be changed: ${paths.join(', ')}`);
    });
  });

export const updateTopicRequest: Rule<UpdateTopicRequest> = message<UpdateTopicRequest>({
  participant,
  topic: required(topicRule),
  updateMask: mask(TOPIC_PATHS),
  requestId,
});

export const namedRequest: Rule<{ participant: string; name: string }> = message({ participant, name: objectName });

export const changeRequest: Rule<{ participant: string; name: string; requestId: string }> = message({ participant, name: objectName, requestId });

export const listTopicsRequest = (pageToken: Rule<string>): Rule<ListTopicsRequest> =>
  message<ListTopicsRequest>({ participant, pageSize, pageToken });

// Subscriptions

const retryPolicy: Rule<RetryPolicy> = both(
  message<RetryPolicy>({ minimumBackoff: optional(duration(0, CONFIG_LIMITS.backoffMs)), maximumBackoff: optional(duration(0, CONFIG_LIMITS.backoffMs)) }),
  ({ minimumBackoff, maximumBackoff }, path, found) => {
    if (minimumBackoff !== undefined && maximumBackoff !== undefined && durationMs(maximumBackoff) < durationMs(minimumBackoff))
      found.add(`${path}.maximum_backoff`, 'must not be below minimum_backoff');
  },
);

const filter: Rule<string> = both(textUpTo(CONFIG_LIMITS.filterBytes), (value, path, found) => {
  if (value === '') return;
  const parsed = parseFilter(value);
  if (typeof parsed !== 'function') found.add(path, parsed.error);
});

export const subscriptionRule = (topic: Rule<string> = orEmpty(objectName)): Rule<Subscription> =>
  message<Subscription>({
    name: objectName,
    topic,
    mode: enumOf(Mode),
    ackDeadline,
    exactlyOnce: anything,
    filter,
    retryPolicy: optional(retryPolicy),
    deadLetterPolicy: optional(message<DeadLetterPolicy>({ topic: objectName, maxDeliveryAttempts: wholeNumber(0, CONFIG_LIMITS.deliveryAttempts) })),
    ageingStep: optional(duration(CONFIG_LIMITS.leastAgeingMs, CONFIG_LIMITS.mostAgeingMs)),
    startFrom: enumOf(StartFrom),
    state: enumOf(SubscriptionState),
    createTime: anything,
    version: wholeNumber(0, Number.MAX_SAFE_INTEGER),
  });

export const createSubscriptionRequest: Rule<CreateSubscriptionRequest> = message<CreateSubscriptionRequest>({
  participant,
  subscription: required(subscriptionRule(objectName)),
  requestId,
});

export const updateSubscriptionRequest: Rule<UpdateSubscriptionRequest> = message<UpdateSubscriptionRequest>({
  participant,
  subscription: required(subscriptionRule()),
  updateMask: mask(SUBSCRIPTION_PATHS),
  requestId,
});

export const listSubscriptionsRequest = (pageToken: Rule<string>): Rule<ListSubscriptionsRequest> =>
  message<ListSubscriptionsRequest>({ participant, topic: orEmpty(objectName), pageSize, pageToken });

const messageIds: Rule<readonly string[]> = (ids, path, found) => {
  list(1, LIMITS.branchOperations, pattern(/^/, ''))(ids, path, found);
  const seen = new Set<number>();
  ids.forEach((id, i) => {
    const parsed = parseMessageId(id);
    if (parsed === undefined) found.add(`${path}[${i}]`, 'must be a message id: "<partition>-<position>"');
    else if (seen.has(parsed.partition)) found.add(`${path}[${i}]`, `names partition ${parsed.partition} a second time`);
    else seen.add(parsed.partition);
  });
};

export const seekTarget: Rule<SeekRequest['target']> = (target, path, found) => {
  switch (target?.$case) {
    case undefined:
      return found.add(path, 'must be set: time, snapshot or positions');
    case 'time':
      return timestamp(target.value as Timestamp, 'time', found);
    case 'snapshot':
      return objectName(target.value, 'snapshot', found);
    case 'positions':
      return messageIds(target.value.messageIds, 'positions.message_ids', found);
  }
};

export const seekRequest: Rule<SeekRequest> = message<SeekRequest>({ participant, subscription: objectName, target: seekTarget, requestId });

// Snapshots

/** @param createMs when it counts as made */
export const createSnapshotRequest = (createMs: number): Rule<CreateSnapshotRequest> =>
  message<CreateSnapshotRequest>({
    participant,
    snapshot: required(
      message<Snapshot>({
        name: objectName,
        subscription: objectName,
        topic: anything,
        expireTime: optional((value: Timestamp, path, found) => {
          timestamp(value, path, found);
          const keepMs = timestampMs(value) - createMs;
          if (keepMs < CONFIG_LIMITS.leastSnapshotMs || keepMs > CONFIG_LIMITS.mostSnapshotMs) found.add(path, 'must be 1 minute to 7 days ahead');
        }),
        createTime: anything,
      }),
    ),
    requestId,
  });

export const listSnapshotsRequest = (pageToken: Rule<string>): Rule<ListSnapshotsRequest> =>
  message<ListSnapshotsRequest>({ participant, topic: orEmpty(objectName), pageSize, pageToken });

// Deliveries

export const ackId: Rule<string> = both(textUpTo(MAX_ACK_ID_BYTES), (value, path, found) => {
  if (parseAckId(value) === undefined) found.add(path, 'must be the ack_id of a delivered message');
});

const ackIds = list(1, CALL_LIMITS.ackIds, ackId);

export const pullRequest: Rule<PullRequest> = message<PullRequest>({
  participant,
  subscription: objectName,
  maxMessages: wholeNumber(0, CALL_LIMITS.pullMessages),
  maxBytes: wholeNumber(0, CALL_LIMITS.pullBytes),
  wait: optional(duration(0, CALL_LIMITS.pullWaitMs)),
  ackDeadline,
  partition: optional(wholeNumber(0, 0xffff)),
});

export const acknowledgeRequest: Rule<AcknowledgeRequest> = message<AcknowledgeRequest>({ participant, subscription: objectName, ackIds });

export const modifyAckDeadlineRequest: Rule<ModifyAckDeadlineRequest> = message<ModifyAckDeadlineRequest>({
  participant,
  subscription: objectName,
  ackIds,
  ackDeadline: movedDeadline,
});
