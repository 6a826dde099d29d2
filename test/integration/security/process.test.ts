/** A server as a process, with a policy and tokens by its settings: what it logs, and what it does not. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { connect, PermissionDenied } from '../../../services/client/index.ts';
import { folder, runToEnd, serve } from '../support/processes.ts';
import { AUDIENCE, ISSUER, TokenIssuer } from '../support/token-issuer.ts';

const POLICY = `
rules:
  - name: shop
    who: [{subjects: [shop]}]
    allow:
      - {methods: ["ClusterService/*", "CoordinatorService/*"]}
      - {methods: ["KeyValueService/*"], participants: [inventory], collections: [stock]}
      - {methods: ["QueueService/*"], rights: [admin], participants: [queue], topics: [orders], subscriptions: [orders]}
`;

test('logs who asked for what, and never tokens, keys, values or messages', async () => {
  const at = folder();
  const policy = join(at, 'policy.yaml');
  writeFileSync(policy, POLICY);
  const issuer = await TokenIssuer.create();
  const keys = issuer.writeTo(join(at, 'keys.json'));
  const logFile = join(at, 'server.log');
  const settings = ['--policy', policy, '--jwt-jwks', keys, '--jwt-issuer', ISSUER, '--jwt-audience', AUDIENCE];
  const server = await serve(['--store', 'memory', ...settings, '--audit', 'all', '--log-level', 'debug'], { logFile });
  const token = await issuer.token('shop');
  const mesh = connect({ addresses: [server.address], token, timeoutMs: 15_000 });
  onTestFinished(() => mesh.close());
  await mesh.keyValue('inventory').collection('stock').put('secret-key', 'secret-value');
  await mesh.transaction(async (tx) => tx.put('inventory', 'stock', 'secret-key', 'secret-value'));
  const transaction = await mesh.begin();
  await transaction.put('inventory', 'stock', 'secret-key-2', 'secret-value');
  expect((await transaction.commit()).committed).toBe(true);
  await mesh.queue().topics.create('orders');
  await mesh.queue().publish('orders', 'secret-message');
  await expect(mesh.keyValue('payments').collection('stock').put('secret-key', 'secret-value')).rejects.toBeInstanceOf(PermissionDenied);
  await expect(mesh.queue().publish('salaries', 'secret-message')).rejects.toBeInstanceOf(PermissionDenied);
  const forged = connect({ addresses: [server.address], token: `${token.slice(0, -8)}AAAAAAAA`, timeoutMs: 15_000 });
  onTestFinished(() => forged.close());
  await expect(forged.ready()).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
  mesh.close();
  forged.close();
  await server.stop();
  const log = readFileSync(logFile, 'utf8');
  for (const secret of [...token.split('.'), 'secret-key', 'secret-value', 'secret-message', 'Bearer']) expect(log, secret).not.toContain(secret);
  for (const said of ['"decision":"denied","caller":"shop (', '"resource":"topics/salaries"', '"decision":"allowed"', '"reason":"TOKEN_INVALID"']) expect(log).toContain(said);
});

test('does not start with a policy or keys that are wrong, and says which', async () => {
  const at = folder();
  const file = join(at, 'policy.yaml');
  const store = ['--port', '0', '--store', 'memory'];
  writeFileSync(file, 'peers: [queue]');
  expect(await runToEnd([...store, '--policy', file])).toMatchObject({ code: 1, said: [`txmesh: --policy: ${file}:1: peers[0] must begin with spiffe://`] });
  const jwt = ['--jwt-issuer', ISSUER, '--jwt-audience', AUDIENCE];
  expect(await runToEnd([...store, ...jwt, '--jwt-jwks', file])).toMatchObject({ code: 1, said: [expect.stringContaining('--jwt-jwks')] });
  expect(await runToEnd(['policy', 'check', file])).toMatchObject({ code: 1, said: [`${file}:1: peers[0] must begin with spiffe://`] });
});

test('says that everything is allowed where no policy is set', async () => {
  const logFile = join(folder(), 'server.log');
  await serve(['--store', 'memory'], { logFile });
  expect(readFileSync(logFile, 'utf8')).toContain('no policy is set (--policy): whoever reaches this server may call everything');
});
