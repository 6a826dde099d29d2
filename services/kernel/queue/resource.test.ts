import { describe, expect, test } from 'vitest';
import { branch, Harness, id, message, subscription, tag, textOf, topic, type HarnessOptions } from './testing/harness.ts';
import type { SubscriptionConfig, TopicConfig } from './types.ts';

function setUp(
  more: { readonly topic?: Partial<TopicConfig>; readonly subscription?: Partial<SubscriptionConfig> } & HarnessOptions = {},
): Harness {
  const h = new Harness(more);
  const failure = h.configure(
    { type: 'createTopic', config: topic('orders', more.topic) },
    { type: 'createSubscription', config: subscription('billing', 'orders', more.subscription) },
  );
  expect(failure).toBe(undefined);
  return h;
}

describe('publish and pull', () => {
  test('what is published is delivered once, in order, and goes when it is acknowledged', () => {
    const h = setUp();
    expect(h.publish('orders', message('a'), message('b'))).toEqual([1, 2]);
    expect(h.publish('orders', message('c'))).toEqual([3]);
    const messages = h.pull('billing');
    expect(messages.map(textOf)).toEqual(['a', 'b', 'c']);
    expect(messages.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
    expect(h.pull('billing')).toEqual([]);
    expect(h.statistics('billing')).toMatchObject({ backlogMessages: 3, inFlight: 3 });
    expect(h.ack('billing', messages)).toEqual([]);
    h.pass(20_000);
    expect(h.pull('billing')).toEqual([]);
    expect(h.statistics('billing')).toMatchObject({ backlogMessages: 0, backlogBytes: 0, inFlight: 0 });
    expect(h.stored('message/')).toHaveLength(1);
  });

  test('a pull waits for what comes, in the same batch', () => {
    const h = setUp();
    expect(h.pull('billing', { untilMs: h.nowMs + 5000 })).toEqual([]);
    h.publish('orders', message('a'));
    const types = h.replies.slice(-2).map(({ reply }) => reply.type === 'response' && reply.response.type);
    expect(new Set(types)).toEqual(new Set(['delivered', 'published']));
  });

  test('a pull that waits in vain is answered with nothing, and one whose caller is gone is not served', () => {
    const h = setUp();
    h.pull('billing', { untilMs: h.nowMs + 5000 }, 'first');
    h.pull('billing', { untilMs: h.nowMs + 9000 }, 'second');
    h.run({ type: 'cancel', target: 'second' });
    h.pass(6000);
    expect(h.replies.at(-1)).toMatchObject({ to: 'first', reply: { response: { type: 'delivered', messages: [] } } });
    h.publish('orders', message('a'));
    expect(h.texts('billing')).toEqual(['a']);
  });

  test('limits of messages and bytes hold, and one message always passes', () => {
    const h = setUp();
    h.publish('orders', ...['aaaa', 'bbbb', 'cccc', 'dddd'].map((text) => message(text)));
    expect(h.texts('billing', 1)).toEqual(['aaaa']);
    expect(h.pull('billing', { maxBytes: 8 }).map(textOf)).toEqual(['bbbb', 'cccc']);
    expect(h.pull('billing', { maxBytes: 1 }).map(textOf)).toEqual(['dddd']);
  });

  test('messages that are not in memory are loaded', () => {
    const h = setUp({ queue: { cacheBytes: 10 } });
    for (let i = 0; i < 20; i++) h.publish('orders', message(`message ${i}`));
    h.restart();
    const texts = [];
    for (let part = h.texts('billing', 5); part.length > 0; part = h.texts('billing', 5)) texts.push(...part);
    expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `message ${i}`));
  });

  test('every subscription gets every message; what has no subscription is not kept', () => {
    const h = setUp();
    h.configure({ type: 'createTopic', config: topic('quiet') });
    h.configure({ type: 'createSubscription', config: subscription('mail', 'orders') });
    h.publish('orders', message('a'));
    h.ack('billing', h.pull('billing'));
    expect(h.texts('mail')).toEqual(['a']);
    expect([h.publish('quiet', message('x')), h.publish('quiet', message('y'))]).toEqual([[1], [2]]);
    h.configure({ type: 'createSubscription', config: subscription('late', 'quiet', { startFrom: 'beginning' }) });
    expect(h.texts('late')).toEqual([]);
    h.restart();
    expect(h.publish('quiet', message('z'))).toEqual([3]);
    expect(h.texts('late')).toEqual(['z']);
  });

  test('unknown names are errors that say what to do', () => {
    const h = setUp();
    expect(h.publish('nothing', message('a'))).toEqual(['TOPIC_NOT_FOUND']);
    expect(h.ask({ type: 'pull', subscription: 'nothing', maxMessages: 1, maxBytes: 1, ackDeadlineMs: 0, untilMs: 0 })).toMatchObject([{ reason: 'SUBSCRIPTION_NOT_FOUND', message: expect.stringContaining('CreateSubscription') }]);
  });
});

describe('idempotent publishing', () => {
  test('Q1: the same session and sequence is published once, also after a restart', () => {
    const h = setUp();
    expect(h.publishAs(id(1), 1, 'orders', message('a'), message('b'))).toEqual([1, 2]);
    expect(h.publishAs(id(1), 2, 'orders', message('b'), message('c'))).toEqual([2, 3]);
    h.restart();
    expect(h.publishAs(id(1), 3, 'orders', message('c'), message('d'))).toEqual([3, 4]);
    expect(h.texts('billing')).toEqual(['a', 'b', 'c', 'd']);
  });

  test('a deduplication id counts within its window and its ordering key', () => {
    const h = setUp({ topic: { deduplicationWindowMs: 1000 } });
    const same = message('a', { deduplicationId: 'one' });
    expect(h.publish('orders', same, same)).toEqual([1, 1]);
    h.restart();
    expect(h.publish('orders', same, message('a', { deduplicationId: 'one', orderingKey: 'k' }))).toEqual([1, 2]);
    h.pass(1500);
    expect(h.publish('orders', same)).toEqual([3]);
    expect(h.stored('dedup/')).toHaveLength(1);
  });
});

describe('deadlines', () => {
  test('what is not acknowledged in time comes again, with a higher attempt', () => {
    const h = setUp();
    h.publish('orders', message('a'));
    const [first] = h.pull('billing');
    h.pass(9_000);
    expect(h.modify('billing', [first!], 10_000)).toEqual([]);
    h.pass(9_000);
    expect(h.pull('billing')).toEqual([]);
    h.pass(2_000);
    const [second] = h.pull('billing');
    expect(second).toMatchObject({ attempt: 2, position: 1 });
    // At least once: the late acknowledgement is as good as any.
    expect(h.ack('billing', [first!])).toEqual([]);
    h.pass(20_000);
    expect(h.pull('billing')).toEqual([]);
  });

  test('a negative acknowledgement brings it back after the backoff', () => {
    const h = setUp({ subscription: { minimumBackoffMs: 1000, maximumBackoffMs: 3000 } });
    h.publish('orders', message('a'));
    for (const waitMs of [1000, 2000, 3000, 3000]) {
      const messages = h.pull('billing');
      expect(messages).toHaveLength(1);
      h.modify('billing', messages, 0);
      h.pass(waitMs - 1);
      expect(h.pull('billing')).toEqual([]);
      h.pass(1);
    }
    expect(h.pull('billing')[0]).toMatchObject({ attempt: 5 });
  });

  test('what never reached its consumer comes back at once and does not count', () => {
    const h = setUp();
    h.publish('orders', message('a'));
    const messages = h.pull('billing');
    h.ask({ type: 'release', subscription: 'billing', tags: messages.map((each) => tag(each)) });
    expect(h.pull('billing')[0]).toMatchObject({ attempt: 1 });
  });

  test('Q12: after so many deliveries a message moves to the dead-letter topic, in one step', () => {
    const h = new Harness();
    h.configure(
      { type: 'createTopic', config: topic('orders') },
      { type: 'createTopic', config: topic('dead') },
      { type: 'createSubscription', config: subscription('graveyard', 'dead') },
      { type: 'createSubscription', config: subscription('billing', 'orders', { deadLetter: { topic: 'dead', maxDeliveryAttempts: 3 } }) },
    );
    h.publish('orders', message('a'), message('b'));
    const seen = [];
    for (let i = 0; i < 4; i++) {
      const messages = h.pull('billing');
      seen.push(messages.map(textOf).join(''));
      h.modify('billing', messages.filter((each) => textOf(each) === 'a'), 0);
      if (i === 1) h.restart();
    }
    expect(seen).toEqual(['ab', 'a', 'ab', '']);
    const [dead] = h.pull('graveyard');
    expect(textOf(dead!)).toBe('a');
    expect(new TextDecoder().decode(dead!.encoded)).toContain('txmesh-dead-letter-attempts=3');
    expect(h.statistics('billing')).toMatchObject({ backlogMessages: 1 });
  });
});

describe('exactly-once delivery', () => {
  const exactly = { subscription: { exactlyOnce: true } };

  test('a late acknowledgement says so, and one that is repeated does not', () => {
    const h = setUp(exactly);
    h.publish('orders', message('a'));
    const first = h.pull('billing');
    h.pass(10_001);
    expect(h.ack('billing', first)).toEqual(['ACK_EXPIRED']);
    const second = h.pull('billing');
    expect(h.ack('billing', first)).toEqual(['ACK_EXPIRED']);
    expect(h.ack('billing', second)).toEqual([]);
    expect(h.ack('billing', second)).toEqual([]);
    expect(h.ack('billing', first)).toEqual(['ACK_EXPIRED']);
  });

  test('after a failover nothing that is out is delivered again before its deadline', () => {
    const h = setUp(exactly);
    h.publish('orders', message('a'), message('b'), message('c'));
    const first = h.pull('billing', { maxMessages: 2 });
    h.restart();
    expect(h.texts('billing')).toEqual(['c']);
    h.pass(5_000);
    expect(h.ack('billing', first.slice(0, 1))).toEqual([]);
    h.pass(4_999);
    expect(h.texts('billing')).toEqual([]);
    h.pass(1000);
    expect(h.pull('billing')).toMatchObject([{ position: 2, attempt: 2 }, { position: 3, attempt: 2 }]);
    expect(h.ack('billing', first.slice(1))).toEqual(['ACK_EXPIRED']);
  });
});

describe('delay and expiry', () => {
  test('a delayed message waits, over a restart too, and wakes whoever waits', () => {
    const h = setUp();
    h.publish('orders', message('later', { deliverAtMs: h.nowMs + 60_000 }), message('now'));
    const now = h.pull('billing');
    expect(now.map(textOf)).toEqual(['now']);
    h.ack('billing', now);
    h.restart();
    h.pull('billing', { untilMs: h.nowMs + 100_000 }, 'waits');
    h.pass(59_999);
    expect(h.replies.at(-1)!.to).not.toBe('waits');
    h.pass(1);
    expect(h.replies.at(-1)).toMatchObject({ to: 'waits', reply: { response: { messages: [{ position: 1 }] } } });
  });

  test('the delay of a message in a transaction counts from its commit', () => {
    const h = setUp();
    h.prepare(branch(1), [{ type: 'publish', topic: 'orders', message: message('later', { delayMs: 5000 }) }]);
    h.pass(10_000);
    h.restart();
    h.tell('commit', branch(1));
    h.pass(4_999);
    expect(h.texts('billing')).toEqual([]);
    h.pass(1);
    expect(h.texts('billing')).toEqual(['later']);
  });

  test('an expired message is gone for everybody', () => {
    const h = setUp();
    h.publish('orders', message('short', { timeToLiveMs: 1000 }), message('long'));
    h.pass(1000);
    expect(h.statistics('billing')).toMatchObject({ backlogMessages: 1 });
    expect(h.texts('billing')).toEqual(['long']);
  });

  test('messages older than the topic keeps any go, acknowledged or not', () => {
    const h = setUp({ topic: { maxAgeMs: 10_000 } });
    h.publish('orders', message('a'));
    h.pass(6_000);
    h.publish('orders', message('b'));
    h.pass(4_500);
    expect(h.texts('billing')).toEqual(['b']);
    h.pass(10_000);
    expect(h.statistics('billing')).toMatchObject({ backlogMessages: 0 });
    expect(h.publish('orders', message('c'))).toEqual([3]);
  });
});

describe('limits', () => {
  test('a full topic refuses with a retry delay until something is acknowledged', () => {
    const h = setUp({ topic: { maxMessages: 2 } });
    expect(h.publish('orders', message('a'), message('b'), message('c'))).toEqual([1, 2, 'OVERLOADED']);
    h.ack('billing', h.pull('billing', { maxMessages: 1 }));
    expect(h.publish('orders', message('c'))).toEqual([3]);
  });

  test('behind a message that was refused, its ordering key waits for it', () => {
    const h = setUp({ topic: { maxBytes: 6 } });
    const k = { orderingKey: 'k' };
    expect(h.publishAs(id(1), 1, 'orders', message('1234', k), message('5678', k), message('9', k), message('x'))).toEqual([1, 'OVERLOADED', 'ORDERING_KEY_PAUSED', 2]);
    expect(h.publishAs(id(1), 5, 'orders', message('y', k))).toEqual(['ORDERING_KEY_PAUSED']);
    h.ack('billing', h.pull('billing'));
    expect(h.publishAs(id(1), 2, 'orders', message('5678', k), message('9', k))).toEqual([3, 4]);
    expect(h.publishAs(id(1), 5, 'orders', message('y', k))).toEqual([5]);
  });

  test('a topic that drops the oldest always takes more', () => {
    const h = setUp({ topic: { maxMessages: 2, overflow: 'dropOldest' } });
    expect(h.publish('orders', message('a'), message('b'), message('c'))).toEqual([1, 2, 3]);
    h.restart();
    expect(h.texts('billing')).toEqual(['b', 'c']);
    expect(h.topicStatistics('orders')).toMatchObject({ messages: 2, bytes: 2 });
  });

  test('bytes are limited too, and a topic in memory by the memory of its partition', () => {
    const h = setUp({ topic: { maxBytes: 10 } });
    expect(h.publish('orders', message('12345'), message('12345'), message('1'))).toEqual([1, 2, 'OVERLOADED']);
    const m = setUp({ topic: { storage: 'memory' }, queue: { memoryBytes: 8 } });
    expect(m.publish('orders', message('12345'), message('12345'))).toEqual([1, 'OVERLOADED']);
  });
});

describe('modes', () => {
  test('sequential: one message of a key at a time, redelivery in order', () => {
    const h = setUp({ subscription: { mode: 'sequential' } });
    h.publish('orders', ...['a1', 'b1', 'a2', 'b2', 'a3', 'x'].map((text) => message(text, { orderingKey: text === 'x' ? '' : text[0]! })));
    const first = h.pull('billing');
    expect(first.map(textOf)).toEqual(['a1', 'b1', 'x']);
    h.ack('billing', first.slice(1, 2));
    expect(h.texts('billing')).toEqual(['b2']);
    h.modify('billing', first.slice(0, 1), 0);
    const again = h.pull('billing');
    expect(again.map(textOf)).toEqual(['a1']);
    h.ack('billing', again);
    h.restart();
    // At least once: what was out before the restart comes again, in order.
    expect(h.texts('billing').sort()).toEqual(['a2', 'b2', 'x']);
  });

  test('priority: higher first, but nobody waits for ever', () => {
    const h = setUp({ subscription: { mode: 'priority', ageingStepMs: 1000 } });
    h.publish('orders', message('low', { priority: 0 }));
    h.pass(3_500);
    h.publish('orders', message('two', { priority: 2 }), message('nine', { priority: 9 }), message('three', { priority: 3 }));
    // After 3.5 s the first one counts as 3, and is the oldest of those.
    expect(h.texts('billing')).toEqual(['nine', 'low', 'three', 'two']);
  });
});

describe('filters', () => {
  test('only what matches is delivered; the rest counts as acknowledged', () => {
    const h = setUp({ subscription: { filter: 'attributes.kind = "big" AND NOT attributes:test' } });
    h.publish('orders', message('a\nkind=big'), message('b\nkind=small'), message('c\nkind=big\ntest=1'), message('d'));
    expect(h.statistics('billing')).toMatchObject({ backlogMessages: 1 });
    h.restart();
    expect(h.texts('billing')).toEqual(['a']);
  });

  test('a subscription from the beginning filters what was published before it', () => {
    const h = setUp({ topic: { acknowledgedAgeMs: 60_000 } });
    h.publish('orders', message('a\nkind=big'), message('b'));
    h.configure({ type: 'createSubscription', config: subscription('big', 'orders', { startFrom: 'beginning', filter: 'attributes:kind' }) });
    expect(h.texts('big')).toEqual(['a']);
    expect(h.statistics('big')).toMatchObject({ backlogMessages: 1 });
  });
});

describe('seek, snapshot, purge', () => {
  test('back to a time, where acknowledged messages are kept', () => {
    const h = setUp({ topic: { acknowledgedAgeMs: 60_000 } });
    h.publish('orders', message('a'));
    h.pass(1000);
    h.publish('orders', message('b'));
    const first = h.pull('billing');
    h.ack('billing', first);
    h.configure({ type: 'seek', subscription: 'billing', target: { type: 'time', timeMs: h.nowMs } });
    expect(h.texts('billing')).toEqual(['b']);
    h.configure({ type: 'seek', subscription: 'billing', target: { type: 'time', timeMs: 0 } });
    h.restart();
    expect(h.texts('billing')).toEqual(['a', 'b']);
    expect(h.statistics('billing')).toMatchObject({ backlogMessages: 2, inFlight: 2 });
    // What was delivered before the seek counts no more.
    h.ack('billing', first);
    expect(h.statistics('billing')).toMatchObject({ backlogMessages: 2 });
  });

  test('to a position and to the end', () => {
    const h = setUp();
    h.publish('orders', message('a'), message('b'), message('c'));
    h.configure({ type: 'seek', subscription: 'billing', target: { type: 'positions', byPartition: new Map([[0, 3]]) } });
    expect(h.texts('billing')).toEqual(['c']);
    h.configure({ type: 'seek', subscription: 'billing', target: { type: 'end' } });
    expect([h.texts('billing'), h.statistics('billing').backlogMessages]).toEqual([[], 0]);
  });

  test('to a snapshot, which keeps what its subscription had not acknowledged', () => {
    const h = setUp();
    h.publish('orders', message('a'), message('b'), message('c'));
    h.ack('billing', h.pull('billing').slice(1, 2));
    const config = { name: 'before', subscription: 'billing', topic: 'orders', createMs: h.nowMs, expireMs: h.nowMs + 100_000 };
    expect(h.configure({ type: 'createSnapshot', config })).toBe(undefined);
    h.pass(11_000);
    h.ack('billing', h.pull('billing'));
    h.publish('orders', message('d'));
    h.restart();
    h.configure({ type: 'seek', subscription: 'billing', target: { type: 'snapshot', snapshot: 'before' } });
    expect(h.texts('billing')).toEqual(['a', 'c', 'd']);
    expect(h.local({ type: 'deleteTopic', name: 'orders' })).toMatchObject({ reason: 'TOPIC_IN_USE' });
    h.pass(100_000);
    expect(h.query({ type: 'snapshots', topic: '', after: '', limit: 10 })).toMatchObject({ snapshots: [] });
    expect(h.configure({ type: 'seek', subscription: 'billing', target: { type: 'snapshot', snapshot: 'before' } })).toMatchObject({ reason: 'SNAPSHOT_NOT_FOUND' });
  });

  test('a purge leaves nothing, and positions go on', () => {
    const h = setUp();
    h.publish('orders', message('a'), message('b'));
    h.pull('billing', { maxMessages: 1 });
    expect(h.configure({ type: 'purgeTopic', name: 'orders' })).toBe(undefined);
    h.restart();
    expect(h.publish('orders', message('c'))).toEqual([3]);
    expect(h.texts('billing')).toEqual(['c']);
    expect(h.stored('message/')).toHaveLength(1);
  });

  test('detach, delete, and the names are free again', () => {
    const h = setUp();
    h.publish('orders', message('a'));
    h.pull('billing', { untilMs: h.nowMs + 1000 }, 'gets one');
    h.pull('billing', { untilMs: h.nowMs + 1000 }, 'waits');
    expect(h.local({ type: 'deleteTopic', name: 'orders' })).toMatchObject({ reason: 'TOPIC_IN_USE' });
    expect(h.configure({ type: 'detachSubscription', name: 'billing' })).toBe(undefined);
    expect(h.replies.find(({ to }) => to === 'waits')).toMatchObject({ reply: { failure: { reason: 'SUBSCRIPTION_DETACHED' } } });
    expect(h.configure({ type: 'deleteTopic', name: 'orders' })).toBe(undefined);
    h.restart();
    expect(h.query({ type: 'subscription', name: 'billing' })).toMatchObject({ subscriptions: [{ state: 'detached', version: 2 }] });
    expect(h.configure({ type: 'deleteSubscription', name: 'billing' })).toBe(undefined);
    const rest = [...h.store.keys()].filter((key) => !/^(progress|local|token)/.test(key));
    expect(rest.filter((key) => !key.startsWith('ack/'))).toEqual([]);
  });
});

describe('memory topics', () => {
  test('deliver, forget at a restart, and say so', () => {
    const h = setUp({ topic: { storage: 'memory' } });
    expect(h.publish('orders', message('a'), message('b'))).toEqual([1, 2]);
    const [first] = h.pull('billing', { maxMessages: 1 });
    expect(h.ack('billing', [first!], 1)).toEqual([]);
    expect(h.stored('message/')).toEqual([]);
    expect(h.stored('ack/')).toEqual([]);
    h.restart();
    expect(h.texts('billing')).toEqual([]);
    h.publish('orders', message('c'));
    // A delivery of the earlier term is not taken for one of this term.
    h.ack('billing', [first!], 1);
    expect(h.texts('billing')).toEqual(['c']);
    expect(h.local({ type: 'publish', topic: 'orders', message: message('x') })).toMatchObject({ reason: 'MEMORY_TOPIC' });
  });
});

describe('transactions', () => {
  test('a staged message is seen when it commits, and never when it aborts', () => {
    const h = setUp();
    expect(h.prepare(branch(1), [{ type: 'publish', topic: 'orders', message: message('a') }])).toBe('yes');
    expect(h.prepare(branch(2), [{ type: 'publish', topic: 'orders', message: message('b') }])).toBe('yes');
    expect(h.texts('billing')).toEqual([]);
    h.restart();
    h.tell('commit', branch(2));
    h.tell('abort', branch(1));
    expect(h.texts('billing')).toEqual(['b']);
  });

  test('Q7: a direct publish does not overtake a prepared one of the same key', () => {
    const h = setUp();
    h.prepare(branch(1), [{ type: 'publish', topic: 'orders', message: message('first', { orderingKey: 'k' }) }]);
    h.restart();
    expect(h.publish('orders', message('second', { orderingKey: 'k' }), message('other'))).toEqual([]);
    expect(h.publish('orders', message('third', { orderingKey: 'k' }))).toEqual([]);
    expect(h.texts('billing')).toEqual(['other']);
    h.tell('commit', branch(1));
    h.pass(1);
    expect(h.texts('billing')).toEqual(['first', 'second', 'third']);
  });

  test('a publish that waits for a key gives up in time', () => {
    const h = setUp();
    h.prepare(branch(1), [{ type: 'publish', topic: 'orders', message: message('first', { orderingKey: 'k' }) }]);
    h.publish('orders', message('second', { orderingKey: 'k' }));
    const before = h.replies.length;
    h.pass(6000);
    const [answer] = h.replies.slice(before);
    expect(answer).toMatchObject({ reply: { response: { type: 'published', positions: [0] } } });
    h.tell('commit', branch(1));
    h.pass(1);
    expect(h.texts('billing')).toEqual(['first']);
  });

  test('Q8, Q9: a message is acknowledged by one transaction, and nothing touches it meanwhile', () => {
    const h = setUp();
    h.publish('orders', message('a'), message('b', { timeToLiveMs: 15_000 }));
    const [a, b] = h.pull('billing');
    expect(h.prepare(branch(1), [{ type: 'acknowledge', subscription: 'billing', tag: tag(a!) }, { type: 'acknowledge', subscription: 'billing', tag: tag(b!) }])).toBe('yes');
    expect(h.prepare(branch(2), [{ type: 'acknowledge', subscription: 'billing', tag: tag(a!) }], { deadlineMs: h.nowMs })).toBe('LOCK_CONFLICT');
    expect(h.ack('billing', [a!])).toEqual(['LOCK_CONFLICT']);
    expect(h.modify('billing', [a!], 0)).toEqual(['LOCK_CONFLICT']);
    expect(h.local({ type: 'seek', subscription: 'billing', target: { type: 'end' } })).toMatchObject({ reason: 'LOCK_CONFLICT' });
    expect(h.local({ type: 'purgeTopic', name: 'orders' })).toMatchObject({ reason: 'LOCK_CONFLICT' });
    h.pass(20_000);
    expect(h.texts('billing')).toEqual([]);
    h.restart();
    h.pass(20_000);
    expect(h.texts('billing')).toEqual([]);
    h.tell('abort', branch(1));
    // The time to live of b is over now.
    const again = h.pull('billing');
    expect(again.map(textOf)).toEqual(['a']);
    expect(h.local({ type: 'acknowledge', subscription: 'billing', tag: tag(again[0]!) })).toBe(undefined);
    expect(h.local({ type: 'acknowledge', subscription: 'billing', tag: tag(again[0]!) })).toMatchObject({ reason: 'ACK_EXPIRED' });
    h.pass(20_000);
    expect(h.texts('billing')).toEqual([]);
  });

  test('Q11: what was delivered before a seek is not acknowledged in a transaction', () => {
    const h = setUp();
    h.publish('orders', message('a'));
    const [a] = h.pull('billing');
    h.configure({ type: 'seek', subscription: 'billing', target: { type: 'time', timeMs: 0 } });
    expect(h.local({ type: 'acknowledge', subscription: 'billing', tag: tag(a!) })).toMatchObject({ reason: 'ACK_EXPIRED' });
  });

  test('room is reserved at prepare', () => {
    const h = setUp({ topic: { maxMessages: 2 } });
    const one = { type: 'publish', topic: 'orders', message: message('a') } as const;
    expect(h.prepare(branch(1), [one, one])).toBe('yes');
    expect(h.publish('orders', message('b'))).toEqual(['OVERLOADED']);
    expect(h.prepare(branch(2), [one])).toBe('OVERLOADED');
    h.tell('abort', branch(1));
    expect(h.publish('orders', message('b'))).toEqual([1]);
  });
});

describe('what is stored', () => {
  test('Q4: the log of acknowledgements is folded, and obsolete segments go', () => {
    const h = setUp();
    h.configure({ type: 'createSubscription', config: subscription('slow', 'orders') });
    for (let i = 0; i < 200; i++) {
      h.publish('orders', message(`m${i}`));
      h.ack('billing', h.pull('billing'));
      if (i % 3 > 0) h.ack('slow', h.pull('slow'));
    }
    expect(h.stored('ack/').length).toBeLessThan(70);
    h.pass(11_000);
    h.ack('slow', h.pull('slow'));
    h.pass(2000);
    h.restart();
    expect([h.statistics('slow').backlogMessages, h.stored('message/').length]).toEqual([0, 1]);
    expect(h.stored('segment/')).toHaveLength(1);
  });

  test('Q3: messages of one batch are one record, split by size', () => {
    const h = setUp();
    h.publish('orders', ...Array.from({ length: 100 }, (_, i) => message(`m${i}`)));
    expect(h.stored('message/')).toHaveLength(1);
    h.publish('orders', ...Array.from({ length: 3 }, () => message('x'.repeat(150_000))));
    expect(h.stored('message/')).toHaveLength(4);
  });
});
