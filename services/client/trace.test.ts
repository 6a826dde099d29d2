import { expect, test } from 'vitest';
import { FakeMesh } from '../../test/support/fake-mesh.ts';
import { Mesh } from './mesh.ts';
import { put } from './operations.ts';
import { recordSpans } from './testing/record-spans.ts';
import { TestEnvironment } from './testing/test-environment.ts';

const operations = [put('inventory', 'stock', 'a', '1'), put('payments', 'accounts', 'b', '2')];

test('without an SDK no traceparent is sent', async () => {
  const fake = await FakeMesh.start();
  const mesh = new Mesh({ addresses: [fake.address] }, new TestEnvironment());
  await mesh.execute({ operations });
  expect(fake.traceparents).toEqual(['']);
  mesh.close();
  fake.stop();
});

test('a transaction is one span, with its calls below, and the server hears of the call’s', async () => {
  const { spans, stop } = recordSpans();
  const fake = await FakeMesh.start();
  const mesh = new Mesh({ addresses: [fake.address] }, new TestEnvironment());
  await mesh.transaction(async (tx) => {
    await tx.get('payments', 'accounts', 'b');
    tx.put('payments', 'accounts', 'b', '1');
    tx.put('inventory', 'stock', 'a', '1');
  });
  mesh.close();
  fake.stop();
  await stop();
  const named = (name: string) => spans.find((span) => span.name.endsWith(name))!;
  const transaction = named('txmesh transaction');
  for (const name of ['KeyValueService/Get', 'CoordinatorService/Execute'])
    expect(named(name).parentSpanContext?.spanId).toBe(transaction.spanContext().spanId);
  const { traceId, spanId } = named('CoordinatorService/Execute').spanContext();
  expect(fake.traceparents).toEqual([`00-${traceId}-${spanId}-01`]);
});
