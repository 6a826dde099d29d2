/** What each method and operation of queues needs; see runtime/security. */

import { ConfigureOperation } from '../../gen/txmesh/queue/v1/operations.ts';
import type { Subscription } from '../../gen/txmesh/queue/v1/queue.ts';
import type { AccessTable, Judge, MethodAccess, OperationTable } from '../../runtime/security/access.ts';
import { carried } from '../../runtime/security/operations.ts';
import { decodeStrictly } from '../../runtime/transport/decode.ts';
import type { queueDefinition } from './handlers.ts';
import { DEFAULT_QUEUE } from './service.ts';

const TOPIC = ['participants', 'topics'] as const;
const SUBSCRIPTION = ['participants', 'subscriptions'] as const;
const SNAPSHOT = ['participants', 'snapshots'] as const;

const queueNamed = (participant: string): string => (participant === '' ? DEFAULT_QUEUE : participant);

interface Named {
  readonly participant: string;
  readonly name: string;
}

const topic = (right: 'ordinary' | 'admin'): MethodAccess<Named> => ({
  right,
  about: TOPIC,
  judge: ({ participant, name }, judge) => judge.needs('topics', queueNamed(participant), name),
});

const subscription = (right: 'ordinary' | 'admin'): MethodAccess<Named> => ({
  right,
  about: SUBSCRIPTION,
  judge: ({ participant, name }, judge) => judge.needs('subscriptions', queueNamed(participant), name),
});

const configuredTopic: MethodAccess<{ readonly participant: string; readonly topic?: { readonly name: string } | undefined }> = {
  right: 'admin',
  about: TOPIC,
  judge: (request, judge) => judge.needs('topics', queueNamed(request.participant), request.topic?.name ?? ''),
};

/** Whose messages it gets, and where it sends those that nobody could handle. */
function judgeSubscription(method: string, participant: string, wanted: Subscription | undefined, judge: Judge): void {
  judge.needsFor(method, 'subscriptions', participant, wanted?.name ?? '');
  // An update may leave it out.
  if (method === 'QueueService/CreateSubscription' || (wanted?.topic ?? '') !== '') judge.needsFor(method, 'topics', participant, wanted?.topic ?? '');
  const deadLetters = wanted?.deadLetterPolicy?.topic ?? '';
  if (deadLetters !== '') judge.needsFor('QueueService/Publish', 'topics', participant, deadLetters);
}

const configuredSubscription = (
  method: string,
): MethodAccess<{ readonly participant: string; readonly subscription?: Subscription | undefined }> => ({
  right: 'admin',
  about: method.endsWith('/CreateSubscription') ? ['participants', 'topics', 'subscriptions'] : SUBSCRIPTION,
  judge: (request, judge) => judgeSubscription(method, queueNamed(request.participant), request.subscription, judge),
});

const onSubscription: MethodAccess<{ readonly participant: string; readonly subscription: string }> = {
  right: 'ordinary',
  about: SUBSCRIPTION,
  judge: (request, judge) => judge.needs('subscriptions', queueNamed(request.participant), request.subscription),
};

/** Of a topic, if one is named; else of all of them. */
const ofTopic: MethodAccess<{ readonly participant: string; readonly topic: string }> = {
  right: 'ordinary',
  about: TOPIC,
  judge(request, judge) {
    if (request.topic === '') judge.needsAll('topics', queueNamed(request.participant), '');
    else judge.needs('topics', queueNamed(request.participant), request.topic);
  },
};

export const queueAccess: AccessTable<ReturnType<typeof queueDefinition>> = {
  createTopic: configuredTopic,
  getTopic: topic('ordinary'),
  updateTopic: configuredTopic,
  listTopics: { right: 'ordinary', about: TOPIC, judge: ({ participant }, judge) => judge.needsAll('topics', queueNamed(participant), '') },
  deleteTopic: topic('admin'),
  purgeTopic: topic('admin'),
  getTopicStatistics: topic('ordinary'),
  createSubscription: configuredSubscription('QueueService/CreateSubscription'),
  getSubscription: subscription('ordinary'),
  updateSubscription: configuredSubscription('QueueService/UpdateSubscription'),
  listSubscriptions: ofTopic,
  deleteSubscription: subscription('admin'),
  detachSubscription: subscription('admin'),
  purgeSubscription: subscription('admin'),
  seek: { ...onSubscription, right: 'admin' },
  getSubscriptionStatistics: subscription('ordinary'),
  createSnapshot: {
    right: 'admin',
    about: ['participants', 'subscriptions', 'snapshots'],
    judge({ participant, snapshot }, judge) {
      judge.needs('snapshots', queueNamed(participant), snapshot?.name ?? '');
      judge.needs('subscriptions', queueNamed(participant), snapshot?.subscription ?? '');
    },
  },
  listSnapshots: ofTopic,
  deleteSnapshot: { right: 'admin', about: SNAPSHOT, judge: ({ participant, name }, judge) => judge.needs('snapshots', queueNamed(participant), name) },
  publish: { right: 'ordinary', about: TOPIC, judge: (request, judge) => judge.needs('topics', queueNamed(request.participant), request.topic), count: ({ messages }) => messages.length },
  publishStream: {
    right: 'ordinary',
    about: TOPIC,
    judge: (request, judge) => judge.needs('topics', queueNamed(request.participant), request.topic),
    opening: ({ participant, topic: name }) => ({ participant, topic: name, session: '', settledBelow: 0, sequences: [], messages: [], bytes: 0 }),
    count: ({ messages }) => messages.length,
  },
  pull: onSubscription,
  streamingPull: {
    right: 'ordinary',
    about: SUBSCRIPTION,
    judge: (request, judge) => judge.needs('subscriptions', queueNamed(request.participant), request.subscription),
    opening: ({ participant, subscription: name }) => ({ participant, subscription: name, ackDeadlineMs: undefined, maxMessages: 0, maxBytes: 0, acknowledge: [], modify: [], sequence: 0 }),
  },
  acknowledge: onSubscription,
  modifyAckDeadline: onSubscription,
  checkDeliveries: onSubscription,
};

export const queueOperations: OperationTable = {
  'txmesh.queue.v1.PublishOperation': carried('QueueService/Publish', 'topics'),
  'txmesh.queue.v1.AcknowledgeOperation': carried('QueueService/Acknowledge', 'subscriptions'),
  // The queue's own handlers carry changes of topics and subscriptions out with it.
  'txmesh.queue.v1.ConfigureOperation': (participant, value, judge) => judgeChange(participant, decodeStrictly(ConfigureOperation, value).change, judge),
};

/** The same right that the method needs. */
function judgeChange(participant: string, change: ConfigureOperation['change'], judge: Judge): void {
  switch (change?.$case) {
    case 'createTopic':
      return judge.needsFor('QueueService/CreateTopic', 'topics', participant, change.value.name);
    case 'updateTopic':
      return judge.needsFor('QueueService/UpdateTopic', 'topics', participant, change.value.topic?.name ?? '');
    case 'deleteTopic':
      return judge.needsFor('QueueService/DeleteTopic', 'topics', participant, change.value);
    case 'purgeTopic':
      return judge.needsFor('QueueService/PurgeTopic', 'topics', participant, change.value);
    case 'createSubscription':
      return judgeSubscription('QueueService/CreateSubscription', participant, change.value, judge);
    case 'updateSubscription':
      return judgeSubscription('QueueService/UpdateSubscription', participant, change.value.subscription, judge);
    case 'deleteSubscription':
      return judge.needsFor('QueueService/DeleteSubscription', 'subscriptions', participant, change.value);
    case 'detachSubscription':
      return judge.needsFor('QueueService/DetachSubscription', 'subscriptions', participant, change.value);
    case 'seek':
      return judge.needsFor('QueueService/Seek', 'subscriptions', participant, change.value.subscription);
    case 'createSnapshot':
      judge.needsFor('QueueService/CreateSnapshot', 'snapshots', participant, change.value.name);
      return judge.needsFor('QueueService/CreateSnapshot', 'subscriptions', participant, change.value.subscription);
    case 'deleteSnapshot':
      return judge.needsFor('QueueService/DeleteSnapshot', 'snapshots', participant, change.value);
    case undefined:
      return judge.refuse({
        reason: 'INVALID_FIELD',
        message: 'change must be set',
        violations: [{ field: 'change', description: 'must be set' }],
      });
  }
}
