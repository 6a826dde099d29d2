import { expect, test } from 'vitest';
import { transfer } from '../../docs/examples/transfer.ts';
import { FakeMesh } from '../../test/support/fake-mesh.ts';
import { connect } from './index.ts';

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
