/** Operations of branches as they arrive, as google.protobuf.Any, and as the queue's kernel takes them. */

import { AcknowledgeOperation, ConfigureOperation, PublishOperation, type SubscriptionChange, type TopicChange } from '../gen/txmesh/queue/v1/operations.ts';
import { partitionOf } from '../kernel/hash.ts';
import type { Failure } from '../kernel/failure.ts';
import type { OpaqueOperation } from '../kernel/messages.ts';
import { LIMITS, type ConfigureOperation as Configure, type QueueOperation, type SeekTarget } from '../kernel/queue/types.ts';
import { encode } from '../runtime/encode.ts';
import { fingerprint } from '../runtime/router/fingerprint.ts';
import { message as messageOf, optional, required, timestamp, Violations, type Rule } from '../runtime/router/rules.ts';
import { decodeStrictly } from '../runtime/transport/decode.ts';
import { timestampMs } from '../runtime/transport/time.ts';
import type { Service } from '../runtime/cluster/service.ts';
import {
  SUBSCRIPTION_PATHS,
  TOPIC_PATHS,
  toSnapshotConfig,
  toSubscriptionChanges,
  toSubscriptionConfig,
  toTopicChanges,
  toTopicConfig,
} from './codec-api.ts';
import { parseAckId, parseMessageId } from './codec-ids.ts';
import { toNewMessage } from './codec-messages.ts';
import { ackId, mask, messageRule, objectName, seekTarget, subscriptionRule, topicRule } from './handlers/validate.ts';

const PACKAGE = 'txmesh.queue.v1.';
const CONFIGURE_TYPE_URL = `type.googleapis.com/${PACKAGE}ConfigureOperation`;

const publishRule: Rule<PublishOperation> = messageOf<PublishOperation>({ topic: objectName, message: required(messageRule) });
const acknowledgeRule: Rule<AcknowledgeOperation> = messageOf<AcknowledgeOperation>({ subscription: objectName, ackId });

/** @param path of the list in the request, for violations */
export function decodeOperations(opaque: readonly OpaqueOperation[], path = 'operations'): readonly QueueOperation[] | Failure {
  if (opaque.length > LIMITS.branchOperations) {
    const message = `a branch has ${opaque.length} operations at one partition; at most ${LIMITS.branchOperations} are allowed`;
    return { reason: 'LIMIT_EXCEEDED', message };
  }
  const operations: QueueOperation[] = [];
  const found = new Violations();
  for (let i = 0; i < opaque.length; i++) {
    const { typeUrl, value } = opaque[i]!;
    const at = `${path}[${i}]`;
    try {
      const operation = decodeOne(typeUrl.slice(typeUrl.lastIndexOf('/') + 1), value, at, found);
      if (operation === 'unknown') return unknownType(at, typeUrl);
      if (operation !== undefined) operations.push(operation);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { reason: 'MALFORMED_MESSAGE', message: `${at} can't be decoded as ${typeUrl}: ${why}` };
    }
  }
  return found.failure ?? operations;
}

/** Undefined: it breaks a rule. */
function decodeOne(type: string, value: Uint8Array, at: string, found: Violations): QueueOperation | 'unknown' | undefined {
  switch (type) {
    case `${PACKAGE}PublishOperation`: {
      const publish = decodeStrictly(PublishOperation, value);
      if (breaks(publishRule, publish, at, found)) return undefined;
      const message = toNewMessage(publish.message!);
      return { type: 'publish', topic: publish.topic, message };
    }
    case `${PACKAGE}AcknowledgeOperation`: {
      const acknowledge = decodeStrictly(AcknowledgeOperation, value);
      if (breaks(acknowledgeRule, acknowledge, at, found)) return undefined;
      const { route, tag } = parseAckId(acknowledge.ackId)!;
      return { type: 'acknowledge', subscription: acknowledge.subscription, tag, route };
    }
    case `${PACKAGE}ConfigureOperation`: {
      const configure = decodeStrictly(ConfigureOperation, value);
      if (breaks(configureRule, configure, at, found)) return undefined;
      return toConfigure(configure);
    }
    default:
      return 'unknown';
  }
}

function breaks<T>(rule: Rule<T>, value: T, at: string, found: Violations): boolean {
  const own = new Violations();
  rule(value, at, own);
  if (own.failure === undefined) return false;
  rule(value, at, found);
  return true;
}

function unknownType(at: string, typeUrl: string): Failure {
  const message = `${at} has type "${typeUrl}"; a queue knows ${PACKAGE}PublishOperation and AcknowledgeOperation`;
  return { reason: 'UNKNOWN_OPERATION', message, violations: [{ field: at, description: 'is of an unknown type' }] };
}

/** The operation that the service makes of an administration call. */
export function configureOperation(change: NonNullable<ConfigureOperation['change']>): OpaqueOperation {
  return { typeUrl: CONFIGURE_TYPE_URL, value: encode(ConfigureOperation, { change }) };
}

/** The service makes it right; whoever else makes one is held to the same rules. */
const configureRule: Rule<ConfigureOperation> = ({ change }, path, found) => {
  if (change === undefined) return found.add(`${path}.change`, 'must be set');
  switch (change.$case) {
    case 'createTopic':
      return topicRule(change.value, path, found);
    case 'updateTopic':
      return messageOf<TopicChange>({ topic: required(topicRule), updateMask: mask(TOPIC_PATHS) })(change.value, path, found);
    case 'createSubscription':
      return subscriptionRule(objectName)(change.value, path, found);
    case 'updateSubscription':
      return messageOf<SubscriptionChange>({ subscription: required(subscriptionRule()), updateMask: mask(SUBSCRIPTION_PATHS) })(change.value, path, found);
    case 'seek':
      objectName(change.value.subscription, `${path}.subscription`, found);
      return change.value.target?.$case === 'end' ? undefined : seekTarget(change.value.target, `${path}.target`, found);
    case 'createSnapshot':
      for (const field of ['name', 'subscription', 'topic'] as const) objectName(change.value[field], `${path}.${field}`, found);
      return optional(timestamp)(change.value.expireTime, `${path}.expire_time`, found);
    default:
      return objectName(change.value, path, found);
  }
};

/** Undefined: it does not keep the rule. */
function toConfigure({ change }: ConfigureOperation): Configure | undefined {
  switch (change?.$case) {
    case 'createTopic':
      return { type: 'createTopic', config: toTopicConfig(change.value, timeOf(change.value.createTime)) };
    case 'updateTopic': {
      const { topic, updateMask } = change.value;
      return topic && { type: 'updateTopic', name: topic.name, version: topic.version, changes: toTopicChanges(topic, updateMask ?? []) };
    }
    case 'createSubscription':
      return { type: 'createSubscription', config: toSubscriptionConfig(change.value, timeOf(change.value.createTime)) };
    case 'updateSubscription': {
      const { subscription, updateMask } = change.value;
      if (subscription === undefined) return undefined;
      const changes = toSubscriptionChanges(subscription, updateMask ?? []);
      return { type: 'updateSubscription', name: subscription.name, version: subscription.version, changes };
    }
    case 'deleteTopic':
    case 'purgeTopic':
    case 'deleteSubscription':
    case 'detachSubscription':
    case 'deleteSnapshot':
      return { type: change.$case, name: change.value };
    case 'createSnapshot':
      return { type: 'createSnapshot', config: toSnapshotConfig(change.value, change.value.topic, timeOf(change.value.createTime)) };
    case 'seek': {
      const target = toTarget(change.value.target);
      return target && { type: 'seek', subscription: change.value.subscription, target };
    }
    case undefined:
      return undefined;
  }
}

function timeOf(time: Parameters<typeof timestampMs>[0] | undefined): number {
  return time === undefined ? 0 : timestampMs(time);
}

type Target = Extract<NonNullable<ConfigureOperation['change']>, { readonly $case: 'seek' }>['value']['target'];

function toTarget(target: Target): SeekTarget | undefined {
  switch (target?.$case) {
    case 'time':
      return { type: 'time', timeMs: timestampMs(target.value) };
    case 'snapshot':
      return { type: 'snapshot', snapshot: target.value };
    case 'end':
      return { type: 'end' };
    case 'positions': {
      const byPartition = new Map<number, number>();
      for (const text of target.value.messageIds) {
        const id = parseMessageId(text);
        if (id !== undefined) byPartition.set(id.partition, id.position);
      }
      return { type: 'positions', byPartition };
    }
    case undefined:
      return undefined;
  }
}

/** The first operation that belongs to another partition than the one that is to carry it out. */
export function misplacedOperation(operations: readonly QueueOperation[], service: Service, partition: number): Failure | undefined {
  if (service.partitions === 1) return undefined;
  for (let i = 0; i < operations.length; i++) {
    const operation = operations[i]!;
    const routingKey = routingKeyOf(operation);
    if (routingKey === undefined || partitionOf(routingKey, service.partitions) === partition) continue;
    const owner = partitionOf(routingKey, service.partitions);
    const what = operation.type === 'publish' ? "the message's ordering key, or else its deduplication id" : "the part of its ack id before ':'";
    const description = `belongs to partition ${owner} of ${service.name}, not to partition ${partition}; give ${what} as the operation's routing key`;
    return {
      reason: 'WRONG_PARTITION',
      message: `operations[${i}] ${description}`,
      violations: [{ field: `operations[${i}].routing_key`, description }],
      metadata: { participant: service.name, partition: String(owner) },
    };
  }
  return undefined;
}

/** Undefined: any partition. */
function routingKeyOf(operation: QueueOperation): string | undefined {
  if (operation.type === 'acknowledge') return operation.route;
  return operation.type === 'publish' ? operation.message.orderingKey || operation.message.deduplicationId || undefined : undefined;
}

/** The content of a local transaction: its operations in their order. */
export function fingerprintOf(operations: readonly QueueOperation[]): string {
  const parts: (string | Uint8Array)[] = [];
  for (const operation of operations) {
    parts.push(operation.type);
    if (operation.type === 'publish') parts.push(operation.topic, operation.message.encoded);
    else if (operation.type === 'acknowledge') {
      const { generation, position, attempt, incarnation } = operation.tag;
      parts.push(operation.subscription, `${generation} ${position} ${attempt} ${incarnation}`);
    } else parts.push(JSON.stringify(operation, (_, value: unknown) => (value instanceof Map ? [...(value as Map<number, number>)] : value)));
  }
  return fingerprint(parts);
}

