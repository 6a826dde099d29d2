import { expect, test } from 'vitest';
import { branch, Harness, id, message, subscription, tag, topic } from '../kernel/queue/testing/harness.ts';
import { queueCodec, type QueuePartitionRecord } from './codec.ts';

/** Every record goes through bytes and back; the harness then compares a reload with what is in memory. */
function copy(key: string, record: QueuePartitionRecord): QueuePartitionRecord {
  const bytes = queueCodec.encode(record);
  const decoded = queueCodec.decode(key, bytes);
  expect(Buffer.from(queueCodec.encode(decoded)).equals(bytes)).toBe(true);
  return decoded;
}

test('what a queue stores comes back as it was', () => {
  const h = new Harness({ copy, queue: { cacheBytes: 100 } });
  h.configure(
    { type: 'createTopic', config: topic('a', { overflow: 'dropOldest', acknowledgedAgeMs: 5000, maxMessages: 50 }) },
    { type: 'createTopic', config: topic('m', { storage: 'memory' }) },
    { type: 'createSubscription', config: subscription('s', 'a', { mode: 'sequential', exactlyOnce: true, deadLetter: { topic: 'a', maxDeliveryAttempts: 4 } }) },
    { type: 'createSubscription', config: subscription('p', 'a', { mode: 'priority', filter: 'attributes:x', startFrom: 'beginning' }) },
    { type: 'createSubscription', config: subscription('v', 'm', { minimumBackoffMs: 5 }) },
  );
  const more = [
    { orderingKey: 'k', priority: 3 },
    { deliverAtMs: h.nowMs + 4000 },
    { timeToLiveMs: 2000, deduplicationId: 'd' },
    { orderingKey: 'k\u00e9', deduplicationId: 'd' },
  ];
  for (let round = 0; round < 40; round++) {
    h.publishAs(id(1), 1 + 4 * round, 'a', ...more.map((each, i) => message(`${round} ${i}\nx=1`, each)));
    const messages = h.pull('s', { maxMessages: 3 });
    h.ack('s', messages.slice(0, 1));
    h.modify('s', messages.slice(1, 2), 0);
    h.ack('p', h.pull('p', { maxMessages: 2 }).slice(1));
    h.pass(300);
  }
  h.configure(
    { type: 'createSnapshot', config: { name: 'n', subscription: 'p', topic: 'a', createMs: h.nowMs, expireMs: h.nowMs + 10_000 } },
    { type: 'updateTopic', name: 'a', version: 1, changes: { maxMessages: 100 } },
    { type: 'updateSubscription', name: 's', version: 0, changes: { deadLetter: undefined } },
    { type: 'detachSubscription', name: 'v' },
  );
  const [delivered] = h.pull('p');
  const staged = [
    { type: 'publish', topic: 'a', message: message('t', more[0]) },
    { type: 'acknowledge', subscription: 'p', tag: tag(delivered!) },
  ] as const;
  expect(h.prepare(branch(1), [...staged])).toBe('yes');
  expect(h.prepare(branch(2), [{ type: 'createTopic', config: topic('z') }])).toBe('yes');
  expect(h.prepare(branch(3), [{ type: 'createSubscription', config: subscription('z', 'a') }])).toBe('yes');
  expect(h.prepare(branch(4), [{ type: 'seek', subscription: 's', target: { type: 'snapshot', snapshot: 'n' } }])).toBe('yes');
  h.restart();
  for (const n of [1, 2, 3, 4]) h.tell('commit', branch(n));
  const targets = [{ type: 'time', timeMs: 5 }, { type: 'positions', byPartition: new Map([[0, 7]]) }, { type: 'end' }] as const;
  for (const [i, target] of targets.entries()) {
    expect(h.prepare(branch(5, 5 + i), [{ type: 'seek', subscription: 'p', target }])).toBe('yes');
    h.restart();
    h.tell('abort', branch(5, 5 + i));
  }
  h.prepare(branch(6, 10), [{ type: 'deleteSnapshot', name: 'n' }, { type: 'purgeTopic', name: 'a' }, { type: 'updateTopic', name: 'z', version: 0, changes: { maxAgeMs: 9000 } }]);
  h.restart();
  h.tell('commit', branch(6, 10));
  expect(h.statistics('p').backlogMessages).toBe(0);
});
