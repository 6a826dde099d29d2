import { expect, test } from 'vitest';
import { FakeMesh } from '../../../test/support/fake-mesh.ts';
import { connect } from '../index.ts';

test('topics and subscriptions are created, changed and listed as the options say', async () => {
  const fake = await FakeMesh.start();
  await using mesh = connect(fake.address);
  const { topics, subscriptions } = mesh.queue();
  const topic = await topics.create('orders', { retention: { maxAgeMs: 1_500, maxMessages: 7, overflow: 'DROP_OLDEST' }, deduplicationWindowMs: 2_000 });
  expect(topic).toEqual({
    name: 'orders',
    storage: 'DISK',
    retention: { maxAgeMs: 1_500, maxMessages: 7, maxBytes: 0, overflow: 'DROP_OLDEST' },
    deduplicationWindowMs: 2_000,
    version: 1,
  });
  expect(fake.queue.createdTopics[0]!.requestId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);

  await topics.update('orders', { retention: { maxBytes: 9, overflow: 'REJECT' } }, { version: 1 });
  expect(fake.queue.updates[0]).toMatchObject({ updateMask: ['retention.max_bytes', 'retention.overflow'], topic: { version: 1 } });

  const subscription = await subscriptions.create('billing', 'orders', {
    mode: 'SEQUENTIAL',
    exactlyOnce: true,
    filter: 'attributes.region = "eu"',
    retryPolicy: { minimumBackoffMs: 100 },
    deadLetterPolicy: { topic: 'dead', maxDeliveryAttempts: 3 },
  });
  expect(subscription).toEqual({
    name: 'billing',
    topic: 'orders',
    mode: 'SEQUENTIAL',
    ackDeadlineMs: 60_000,
    exactlyOnce: true,
    filter: 'attributes.region = "eu"',
    retryPolicy: { minimumBackoffMs: 100 },
    deadLetterPolicy: { topic: 'dead', maxDeliveryAttempts: 3 },
    state: 'ACTIVE',
    version: 1,
  });
  await subscriptions.update('billing', { ackDeadlineMs: 5_000 });
  expect(fake.queue.updates[1]).toMatchObject({ updateMask: ['ack_deadline'], subscription: { ackDeadline: { seconds: 5n } } });

  const names = [];
  for await (const { name, storage } of topics.list()) names.push(`${name} ${storage}`);
  expect(names).toEqual(['topic MEMORY', 'topic2 MEMORY']);
  fake.stop();
});
