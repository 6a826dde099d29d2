/** What a policy does to calls, transactions and streams, as the SDK makes them with tokens over loopback. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { ConfigureOperation } from '../../../services/gen/txmesh/queue/v1/operations.ts';
import { KeyValueServiceService } from '../../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';
import { connect, PermissionDenied, type TransactionInfo } from '../../../services/client/index.ts';
import { put as putOperation } from '../../../services/client/operations.ts';
import { serveParticipant } from '../../../services/client/participant.ts';
import { systemClock } from '../../../services/runtime/clock.ts';
import { serviceErrorToFailure } from '../../../services/runtime/errors/status.ts';
import { startNode, type Node } from '../../../services/mesh.ts';
import { catalogueOfMesh } from '../../../services/mesh/access.ts';
import { openSecurity } from '../../../services/runtime/security/open.ts';
import { MemoryStore } from '../../../services/runtime/store/memory.ts';
import { hasOpenssl, TestAuthority } from '../support/spiffe-authority.ts';
import { Notebook } from '../support/notebook.ts';
import { servePolicy, type Policed } from '../support/policed-server.ts';
import { TokenIssuer } from '../support/token-issuer.ts';

const POLICY = `
peers: [spiffe://txmesh/service/*]
open: [health]
rules:
  - name: map
    who: authenticated
    allow: [{methods: [ClusterService/GetCluster, ClusterService/WatchCluster, "CoordinatorService/Execute*", KeyValueService/ExecuteLocal]}]
  - name: shop
    who: [{subjects: [shop]}]
    allow:
      - {methods: ["KeyValueService/*"], participants: [inventory], collections: [stock]}
      - {methods: ["CounterService/*"], participants: [counter], counters: [sold-*]}
      - {methods: ["QueueService/*"], participants: [queue], topics: [orders], subscriptions: [packing]}
      - {methods: ["CoordinatorService/*"]}
  - name: sensors
    who: [{subjects: [sensor]}]
    allow:
      - {methods: [KeyValueService/Put, KeyValueService/Delete], participants: [inventory], collections: [stock]}
      - {methods: ["CoordinatorService/*"]}
  - name: operators
    who: [{groups: [operators]}]
    allow:
      - methods: ["*"]
        rights: [admin]
        participants: ["*"]
        collections: ["*"]
        topics: ["*"]
        subscriptions: ["*"]
        counters: ["*"]
`;

let issuer: TokenIssuer;
beforeAll(async () => void (issuer = await TokenIssuer.create()));

const serve = (policy = POLICY): Promise<Policed> => servePolicy(issuer, policy);

const denied = { reason: 'PERMISSION_DENIED' };
const put = (participant: string, collection: string, key: string) => async (tx: { put(p: string, c: string, k: string, v: string): void }) => tx.put(participant, collection, key, 'v');

describe('a policy', () => {
  test('lets the SDK do what its rules allow, and nothing else', async () => {
    const served = await serve();
    const operator = served.as('operator');
    for (const topic of ['orders', 'salaries']) {
      await operator.queue().topics.create(topic);
      await operator.queue().subscriptions.create(topic === 'orders' ? 'packing' : 'spying', topic);
    }
    for (const name of ['sold-books', 'stolen']) await operator.counter(name).create();

    const shop = served.as('shop');
    await shop.keyValue('inventory').collection('stock').put('book', '1');
    expect((await shop.keyValue('inventory').collection('stock').get('book'))?.text()).toBe('1');
    await expect(shop.keyValue('inventory').collection('prices').put('book', '1')).rejects.toBeInstanceOf(PermissionDenied);
    await expect(shop.keyValue('payments').collection('stock').get('book')).rejects.toMatchObject(denied);

    // One stream carries both; each call is decided about by itself.
    const [allowed, refused] = await Promise.allSettled([
      shop.transaction(put('inventory', 'stock', 'a')),
      shop.execute({ operations: [stolen('payments', 'accounts')] }),
    ]);
    expect(allowed.status).toBe('fulfilled');
    expect(refused).toMatchObject({ status: 'rejected', reason: { ...denied, metadata: { method: 'KeyValueService/Put', participant: 'payments', resource: 'collections/accounts' } } });
    await expect(served.as('stranger').transaction(put('inventory', 'stock', 'a'))).rejects.toMatchObject(denied);

    const results = await Promise.allSettled([shop.counter('sold-books').add(2), shop.counter('stolen').add(1), shop.counter('sold-books').add(3)]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((await shop.counter('sold-books').get()).value).toBe(5n);
    await expect(shop.counter('sold-books').delete()).rejects.toMatchObject(denied);

    await shop.queue().publish('orders', 'order');
    await expect(shop.queue().publish('salaries', 'raise')).rejects.toMatchObject(denied);
    for await (const message of shop.queue().messages('packing')) {
      expect(message.text()).toBe('order');
      await message.ack();
      break;
    }
    await expect(shop.queue().messages('spying').next()).rejects.toMatchObject(denied);
    await expect(shop.queue().pull('spying')).rejects.toMatchObject(denied);
  });

  test('decides about every operation of a transaction, those of the queue for its own use too', async () => {
    const served = await serve();
    await served.as('operator').queue().topics.create('orders');
    const shop = served.as('shop');
    const configure = (topic: string) => ({
      participant: 'queue',
      routingKey: topic,
      operation: {
        typeUrl: 'type.googleapis.com/txmesh.queue.v1.ConfigureOperation',
        value: ConfigureOperation.encode({ change: { $case: 'deleteTopic', value: topic } }).finish(),
      },
    });
    await expect(shop.execute({ operations: [configure('orders')] })).rejects.toMatchObject({ ...denied, metadata: { method: 'QueueService/DeleteTopic' } });
    await expect(shop.execute({ operations: [{ participant: 'queue', routingKey: 'x', operation: { typeUrl: 'evil/acme.Unknown', value: Buffer.alloc(0) } }] })).rejects.toMatchObject(denied);
    // The field comes twice: what counts is what the participant would take.
    const twice = Buffer.concat([field(1, 'stock'), field(1, 'prices'), field(2, 'k')]);
    const operation = { typeUrl: 'type.googleapis.com/txmesh.keyvalue.v1.PutOperation', value: twice };
    await expect(shop.execute({ operations: [{ participant: 'inventory', routingKey: 'k', operation }] })).rejects.toMatchObject(denied);
    const operator = served.as('operator');
    expect((await operator.queue().topics.get('orders')).name).toBe('orders');
    // Allowed, it is told as what it is.
    expect((await operator.execute({ operations: [configure('orders')] })).committed).toBe(true);
    const told = served.logs.find(({ method, decision }) => method === 'QueueService/DeleteTopic' && decision === 'allowed');
    expect(told).toMatchObject({ message: 'audit', caller_type: 'token', resource: 'topics/orders', rule: 'operators' });
    expect(served.logs.find(({ method }) => method === 'QueueService/CreateTopic')).toMatchObject({ decision: 'allowed', participant: 'queue', resource: 'topics/orders' });
  });

  test('lets who may only write learn nothing of what is there', async () => {
    const served = await serve();
    await served.as('shop').keyValue('inventory').collection('stock').put('k', 'secret');
    const sensor = served.as('sensor');
    const stock = sensor.keyValue('inventory').collection('stock');
    await stock.put('mine', '1');
    await stock.delete('mine');
    const reading = { ...denied, metadata: { method: 'KeyValueService/Get' } };
    await expect(stock.put('k', '2', { precondition: { version: 77 } })).rejects.toMatchObject(reading);
    await expect(stock.put('k', '{}', { merge: 'jsonMergePatch' })).rejects.toMatchObject(reading);
    await expect(stock.delete('k', { precondition: 'absent' })).rejects.toMatchObject(reading);
    const operations = [putOperation('inventory', 'stock', 'k', '2', { precondition: 'absent' }), putOperation('inventory', 'stock', 'another', '')];
    await expect(sensor.execute({ operations })).rejects.toMatchObject(reading);
    // Its own refusal tells the shop what is there. Whoever sees the transactions of all is told the key alone.
    const outcome = await served.as('shop').execute({ operations });
    expect(outcome).toMatchObject({ committed: false, cause: { reason: 'PRECONDITION_FAILED', conflict: { currentVersion: 1, currentValue: new TextEncoder().encode('secret') } } });
    const listed: TransactionInfo[] = [];
    for await (const transaction of sensor.list()) listed.push(transaction);
    const told = listed.find(({ transactionId }) => transactionId === outcome.transactionId)!;
    expect(told.cause).toMatchObject({ reason: 'PRECONDITION_FAILED', message: expect.stringContaining('key "k"') });
    expect(told.cause?.conflict).toBeUndefined();
  });

  test('takes forwarded calls from replicas alone', async () => {
    const served = await serve();
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${await issuer.token('operator', 600, { groups: ['operators'] })}`);
    metadata.set('txmesh-forwarded', '1');
    expect(await failureOfGet(served.node, metadata)).toMatchObject({ reason: 'PERMISSION_DENIED', message: expect.stringContaining('only they forward calls') });
  });

  test('that is exchanged is in force at once, for open streams too; one that is wrong changes nothing', async () => {
    const served = await serve();
    const shop = served.as('shop');
    await shop.keyValue('inventory').collection('stock').put('k', '1');
    const events = shop.keyValue('inventory').collection('stock').watch();
    const next = events.next();
    served.rewrite(`${POLICY}\n  - {`);
    await vi.waitUntil(() => served.logs.some(({ message }) => String(message).startsWith('THE POLICY HAS CHANGED AND IS WRONG')), 10_000);
    await shop.keyValue('inventory').collection('stock').put('k', '2');
    await next;
    const ended = events.next();
    served.rewrite(POLICY.replace('collections: [stock]', 'collections: [other]'));
    await expect(ended).rejects.toMatchObject(denied);
    await expect(shop.keyValue('inventory').collection('stock').get('k')).rejects.toMatchObject(denied);
    await shop.keyValue('inventory').collection('other').put('k', '1');
  });

  test('limits each caller by itself, refusing calls and slowing streams down', async () => {
    const served = await serve(`${POLICY}\nlimits:\n  - {name: few, who: [{subjects: [shop]}], calls_per_second: 20}\n`);
    const shop = served.as('shop', { timeoutMs: 60_000 });
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${await issuer.token('shop')}`);
    const answers = await Promise.all(Array.from({ length: 60 }, () => failureOfGet(served.node, metadata)));
    const refused = answers.filter((failure) => failure?.reason === 'CALLER_LIMIT');
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.every((failure) => failure!.retryAfterMs! > 0 && failure!.metadata?.['rule'] === 'few')).toBe(true);
    // Over its streams, and with retries, everything gets through.
    await Promise.all(Array.from({ length: 30 }, (_, i) => shop.execute({ operations: [stolen('inventory', 'stock', `k${i}`)] })));
    const other = served.as('operator');
    await Promise.all(Array.from({ length: 60 }, () => other.keyValue('inventory').collection('stock').get('k')));
  });
});

describe('a token', () => {
  test('ends its streams when it expires, and the SDK goes on with another', async () => {
    const served = await serve();
    let made = 0;
    const shop = served.as('shop', { token: () => (made++, issuer.token('shop', 3)) });
    const collection = shop.keyValue('inventory').collection('stock');
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { entry } of collection.watch()) {
        seen.push(entry?.text() ?? '');
        if (seen.includes('last')) return;
      }
    })();
    await collection.put('k', 'first');
    await vi.waitUntil(() => seen.includes('first'), 10_000);
    await vi.waitUntil(() => made >= 3, 20_000);
    await collection.put('k', 'last');
    await watching;
  });

  test('does not reach the log, nor do keys and values', async () => {
    const served = await serve();
    const token = await issuer.token('shop');
    const shop = served.as('shop', { token });
    await shop.keyValue('inventory').collection('stock').put('secret-key', 'secret-value');
    await expect(shop.keyValue('inventory').collection('prices').put('secret-key', 'secret-value')).rejects.toThrow();
    await expect(shop.execute({ operations: [stolen('payments', 'accounts', 'secret-key')] })).rejects.toThrow();
    const forged = `${token.split('.').slice(0, 2).join('.')}.${'A'.repeat(86)}`;
    await expect(served.as('shop', { token: forged }).ready()).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
    await expect(served.as('shop', { token: 'plain-text-secret' }).ready()).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
    const all = JSON.stringify(served.logs);
    expect(served.logs.filter(({ message }) => message === 'audit').length).toBeGreaterThan(4);
    for (const secret of [...token.split('.'), 'secret-key', 'secret-value', 'plain-text-secret', 'Bearer']) expect(all).not.toContain(secret);
  });
});

test.skipIf(!hasOpenssl())('replicas with certificates forward what was allowed where it came in', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'policy.yaml');
  writeFileSync(file, POLICY.replace('{subjects: [shop]}', '{certificates: [spiffe://txmesh/client/shop]}'));
  const authority = new TestAuthority(folder);
  const store = new MemoryStore(systemClock);
  const nodes: Node[] = [];
  for (const service of ['queue', 'counter']) {
    const uri = `spiffe://txmesh/service/${service}`;
    const ports = { info: () => undefined, error: () => undefined, audit: () => undefined };
    const security = openSecurity({ policy: file, audit: 'denied', encrypted: true, certificates: true }, { catalogue: catalogueOfMesh(), clock: systemClock, ...ports });
    const node = await startNode(
      { host: '127.0.0.1', port: 0, coordinator: true, participants: ['inventory', 'payments'], counters: ['counter'], queues: ['queue'], defaultPartitions: 8, leaseTtlMs: 2000 },
      { store, closesStore: false, log: () => undefined, credentials: { server: authority.server({ uri }, 'required'), channels: authority.channel({ uri }) }, guard: security.guard },
    );
    nodes.push(node);
    onTestFinished(async () => {
      security.close();
      await node.drain(0);
    });
  }
  await Promise.all(nodes.map((node) => node.ready()));
  await vi.waitUntil(() => nodes[0]!.view.services.size > 0 && new Set(leadersOf(nodes[0]!)).size === 2, 20_000);
  // Straight to one replica, whoever leads.
  const client = new grpc.Client(`127.0.0.1:${nodes[0]!.port}`, authority.channel({ uri: 'spiffe://txmesh/client/shop' }), {
    'grpc.ssl_target_name_override': 'localhost',
    'grpc.use_local_subchannel_pool': 1,
  });
  onTestFinished(() => client.close());
  for (let i = 0; i < 16; i++) {
    expect(await putOver(client, 'stock', `key-${i}`)).toBeUndefined();
    expect(await putOver(client, 'prices', `key-${i}`)).toMatchObject(denied);
  }
});

test.skipIf(!hasOpenssl())("a user's own participant takes calls from replicas alone, where it is told who they are", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority(folder);
  const file = join(folder, 'policy.yaml');
  writeFileSync(file, `peers: [spiffe://txmesh/service/*]
rules:
  - name: ledger
    who: [{certificates: [spiffe://txmesh/client/ledger]}]
    allow:
      - {methods: [ClusterService/RegisterParticipant, CoordinatorService/Inquire], rights: [participate], participants: [ledger]}
      - {methods: ["ClusterService/*"]}
  - name: user
    who: [{certificates: [spiffe://txmesh/client/user]}]
    allow:
      - {methods: ["ClusterService/*", "CoordinatorService/*"]}
      - {operations: [acme.Note], participants: [ledger]}
`);
  const ports = { info: () => undefined, error: () => undefined, audit: () => undefined };
  const security = openSecurity({ policy: file, audit: 'denied', encrypted: true, certificates: true }, { catalogue: catalogueOfMesh(), clock: systemClock, ...ports });
  const replica = { uri: 'spiffe://txmesh/service/coordinator' };
  const node = await startNode(
    { host: '127.0.0.1', port: 0, coordinator: true, participants: [], defaultPartitions: 1 },
    { store: new MemoryStore(systemClock), log: () => undefined, credentials: { server: authority.server(replica, 'required'), channels: authority.channel(replica) }, guard: security.guard },
  );
  onTestFinished(async () => {
    security.close();
    await node.drain(0);
  });
  const as = (name: string) => ({ addresses: [node.address], credentials: authority.channel({ uri: `spiffe://txmesh/client/${name}` }) });
  const notebook = new Notebook();
  const listening = (name: string) => ({
    name,
    mesh: as('ledger'),
    listen: '127.0.0.1:0',
    credentials: authority.server({ uri: 'spiffe://txmesh/client/ledger' }, 'required'),
    peers: ['spiffe://txmesh/service/*'],
    resourceManager: notebook,
  });
  await expect(serveParticipant(listening('other'))).rejects.toMatchObject(denied);
  const participant = await serveParticipant(listening('ledger'));
  onTestFinished(() => participant.close(0));
  const user = connect({ ...as('user'), timeoutMs: 20_000 });
  onTestFinished(() => user.close());
  const note = (type: string) => ({ participant: 'ledger', routingKey: 'k', operation: { typeUrl: `type.googleapis.com/${type}`, value: Buffer.from('note') } });
  expect((await user.execute({ operations: [note('acme.Note')] })).committed).toBe(true);
  await vi.waitUntil(() => notebook.applied.size === 1, 10_000);
  await expect(user.execute({ operations: [note('acme.Other')] })).rejects.toMatchObject(denied);
  for (const [name, may] of [['service/queue', true], ['client/user', false], ['client/ledger', false]] as const) {
    const client = new grpc.Client(participant.address.replace('127.0.0.1', 'localhost'), authority.channel({ uri: `spiffe://txmesh/${name}` }), { 'grpc.use_local_subchannel_pool': 1 });
    onTestFinished(() => client.close());
    for (const method of ['Prepare', 'Commit', 'Abort', 'Resolve'])
      expect((await statusOf(client, `/txmesh.participant.v1.ParticipantService/${method}`)) !== grpc.status.PERMISSION_DENIED, `${method} as ${name}`).toBe(may);
  }
});

const statusOf = (client: grpc.Client, path: string): Promise<grpc.status> =>
  new Promise((resolve) => {
    const asIs = (bytes: Buffer): Buffer => bytes;
    client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), { deadline: Date.now() + 20_000 }, (error) => resolve(error?.code ?? grpc.status.OK));
  });

const leadersOf = ({ view }: Node): string[] =>
  Array.from({ length: 8 }, (_, partition) => view.leader('inventory', partition)?.address ?? '').filter((address) => address !== '');

function putOver(client: grpc.Client, collection: string, key: string) {
  const { path, requestSerialize, responseDeserialize } = KeyValueServiceService.put;
  const request = { participant: 'inventory', collection, key, value: Buffer.from('v'), contentType: '', precondition: undefined, mergePolicy: 0 as const, requestId: '', transaction: undefined };
  return new Promise<ReturnType<typeof serviceErrorToFailure> | undefined>((resolve) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline: Date.now() + 20_000 }, (error) => resolve(error === null ? undefined : serviceErrorToFailure(error)));
  });
}

function failureOfGet({ address }: Node, metadata: grpc.Metadata) {
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = KeyValueServiceService.get;
  const request = { participant: 'inventory', collection: 'stock', key: 'k', consistency: 0 as const, transaction: undefined };
  return new Promise<ReturnType<typeof serviceErrorToFailure> | undefined>((resolve) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, { deadline: Date.now() + 20_000 }, (error) => {
      client.close();
      resolve(error === null ? undefined : serviceErrorToFailure(error));
    });
  });
}

/** A put, as an operation of a transaction. */
function stolen(participant: string, collection: string, key = 'k') {
  const value = Buffer.concat([field(1, collection), field(2, key), field(3, 'v')]);
  return { participant, routingKey: key, operation: { typeUrl: 'type.googleapis.com/txmesh.keyvalue.v1.PutOperation', value } };
}

const field = (number: number, text: string): Buffer => Buffer.concat([Buffer.from([(number << 3) | 2, text.length]), Buffer.from(text)]);
