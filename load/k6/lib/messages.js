// A topic with one subscription that belongs to a run.
import { operate, require } from './operate.js';

const QUEUE = 'txmesh.queue.v1.QueueService';

/** Delivery is exactly once, so that every acknowledgement that is taken is of another message. */
export function createTopic(topic, subscription) {
  require('create', `${QUEUE}/CreateTopic`, { topic: { name: topic } });
  require('create', `${QUEUE}/CreateSubscription`, { subscription: { name: subscription, topic, exactlyOnce: true, ackDeadline: '10s' } });
}

export function deleteTopic(topic, subscription) {
  require('delete', `${QUEUE}/DeleteSubscription`, { name: subscription });
  require('delete', `${QUEUE}/DeleteTopic`, { name: topic });
}

/** 'done', 'not done' or 'unknown'. */
export function publish(topic, message, { session, sequence }) {
  const request = { topic, messages: [message], session, firstSequence: sequence, settledBelow: sequence };
  const { type } = operate('publish', `${QUEUE}/Publish`, request);
  return type === 'refused' ? 'not done' : type;
}

/** Messages that are there, or come within a second. */
export function pull(subscription, maxMessages) {
  const { message } = operate('pull', `${QUEUE}/Pull`, { subscription, maxMessages, wait: '1s' });
  return (message && message.messages) || [];
}

/** How many are surely acknowledged, and how many surely not: those come again. */
export function acknowledge(subscription, ackIds) {
  const result = operate('acknowledge', `${QUEUE}/Acknowledge`, { subscription, ackIds });
  if (result.type !== 'done') return { found: 0, notFound: result.type === 'refused' ? ackIds.length : 0 };
  const failures = (result.message.failures || []).length;
  // What failed after a try that was lost may have been acknowledged by that.
  return { found: ackIds.length - failures, notFound: result.tries === 1 ? failures : 0 };
}

/** Messages that are not acknowledged. */
export function backlogOf(subscription) {
  const { backlogMessages } = require('statistics', `${QUEUE}/GetSubscriptionStatistics`, { name: subscription });
  return Number(backlogMessages || 0);
}
