import { SpanKind } from '@opentelemetry/api';
import { expect, test } from 'vitest';
import { FakeMesh } from '../../../test/support/fake-mesh.ts';
import { Mesh } from '../mesh.ts';
import { recordSpans } from '../testing/record-spans.ts';
import { TestEnvironment, until } from '../testing/test-environment.ts';

test('the span that processes a message is linked with the one that sent it, also where a transaction sent it', async () => {
  const { spans, stop } = recordSpans();
  const fake = await FakeMesh.start();
  const mesh = new Mesh({ addresses: [fake.address] }, new TestEnvironment());
  const controller = new AbortController();
  fake.queue.subscribe('billing', 'orders');
  fake.queue.subscribe('shipping', 'bills');
  const queue = mesh.queue();
  const billing = queue.subscribe('billing', async (message, tx) => tx.publish('bills', message.text()), { signal: controller.signal });
  const shipping = queue.subscribe('shipping', () => Promise.resolve(), { signal: controller.signal });
  await queue.publish('orders', 'one');
  await until(() => fake.queue.count('shipping', 'acknowledged') === 1);
  controller.abort();
  await Promise.all([billing, shipping]);
  mesh.close();
  fake.stop();
  await stop();

  const named = (name: string) => spans.find((span) => span.name === name)!;
  for (const [sent, processed, destination, subscription] of [
    ['send orders', 'process billing', 'orders', 'billing'],
    ['send bills', 'process shipping', 'bills', 'shipping'],
  ] as const) {
    const producer = named(sent);
    const consumer = named(processed);
    expect(producer.kind).toBe(SpanKind.PRODUCER);
    expect(producer.attributes).toMatchObject({ 'messaging.system': 'txmesh', 'messaging.operation.type': 'send', 'messaging.destination.name': destination });
    expect(consumer.kind).toBe(SpanKind.CONSUMER);
    expect(consumer.links.map(({ context }) => context.spanId)).toEqual([producer.spanContext().spanId]);
    expect(consumer.attributes).toMatchObject({
      'messaging.operation.name': 'process',
      'messaging.destination.name': destination,
      'messaging.destination.subscription.name': subscription,
      'messaging.message.id': '0-1',
    });
  }
  const transaction = spans.find((span) => span.name === 'txmesh transaction')!;
  expect(transaction.parentSpanContext?.spanId).toBe(named('process billing').spanContext().spanId);
  expect(named('send bills').parentSpanContext?.spanId).toBe(transaction.spanContext().spanId);
});
