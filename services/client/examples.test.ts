import { expect, test } from 'vitest';
import { bill, prepare, type Order } from '../../docs/examples/orders.ts';
import { transfer } from '../../docs/examples/transfer.ts';
import { FakeMesh } from '../../test/support/fake-mesh.ts';
import { connect, json } from './index.ts';
import { until } from './testing/test-environment.ts';

test('the transfer example moves money once, however often it has to be tried', async () => {
  const fake = await FakeMesh.start();
  await using mesh = connect(fake.address);
  fake.set('payments', 'accounts', 'alice', '{"balance":100}');
  fake.onExecute = () => {
    fake.onExecute = () => 'own';
    fake.set('payments', 'accounts', 'bob', '{"balance":5}'); // Between its reads and its commit.
    return 'own';
  };
  expect(await transfer(mesh, 'alice', 'bob', 30)).toEqual({ payerBalance: 70, payeeBalance: 35 });
  expect(fake.text('payments', 'accounts', 'alice')).toBe('{"balance":70}');
  await expect(transfer(mesh, 'alice', 'bob', 71)).rejects.toThrow('alice has 70, less than 71');
  fake.stop();
});

test('the transfer example refuses what would make money or move it backwards', async () => {
  const fake = await FakeMesh.start();
  await using mesh = connect(fake.address);
  fake.set('payments', 'accounts', 'alice', '{"balance":100}');
  expect(() => transfer(mesh, 'alice', 'alice', 30)).toThrow("alice can't pay themselves");
  expect(() => transfer(mesh, 'alice', 'bob', -30)).toThrow("-30 can't be moved");
  expect(() => transfer(mesh, 'alice', 'bob', Number.NaN)).toThrow("NaN can't be moved");
  expect(fake.text('payments', 'accounts', 'alice')).toBe('{"balance":100}');
  fake.stop();
});

test('the orders example bills every order once, though a transaction’s answer is lost', async () => {
  const fake = await FakeMesh.start();
  await using mesh = connect(fake.address);
  await prepare(mesh);
  await prepare(mesh); // A second start finds everything there.
  fake.onExecute = ({ transactionId, operations }) => {
    fake.onExecute = () => 'own';
    fake.decide(transactionId, operations);
    return { failure: { reason: 'OUTCOME_UNKNOWN', message: 'the reply was lost' } };
  };
  const end = new AbortController();
  const billing = bill(mesh, end.signal);
  await mesh.queue().publish('orders', [1, 2, 3].map((amount) => json({ customer: 'alice', amount } satisfies Order)));
  await until(() => fake.queue.count('billing', 'acknowledged') === 3);
  end.abort();
  await billing;
  expect(fake.queue.texts('invoices').sort()).toEqual([1, 2, 3].map((amount) => `{"customer":"alice","amount":${amount},"of":"0-${amount}"}`));
  expect(fake.counter.values.get('sales')).toBe(6n);
  fake.stop();
});
