/** The policy of the component mtls, put in force for four services that work together: it denies nothing that they need. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { SERVICES } from '../../../deploy/certificates/needed.ts';
import { connect, PermissionDenied } from '../../../services/client/index.ts';
import { serveParticipant } from '../../../services/client/participant.ts';
import { startNode, type Node } from '../../../services/mesh.ts';
import { catalogueOfMesh } from '../../../services/mesh/access.ts';
import { systemClock } from '../../../services/runtime/clock.ts';
import { openSecurity } from '../../../services/runtime/security/open.ts';
import { MemoryStore } from '../../../services/runtime/store/memory.ts';
import { Notebook } from '../support/notebook.ts';
import { hasOpenssl, TestAuthority } from '../support/spiffe-authority.ts';
import { until } from '../support/until.ts';

const POLICY = resolve(import.meta.dirname, '../../../deploy/components/mtls/policy.yaml');
const HOSTED = {
  coordinator: { coordinator: true, participants: [] },
  participant: { coordinator: false, participants: ['inventory', 'payments'] },
  queue: { coordinator: false, participants: [], queues: ['queue'] },
  counter: { coordinator: false, participants: [], counters: ['counter'] },
} as const;

test.skipIf(!hasOpenssl())("services of the manifests work together under their policy, with a user's participant too, and a client may do its work and no more", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const authority = new TestAuthority(folder);
  const store = new MemoryStore(systemClock);
  const denials: Record<string, unknown>[] = [];
  const nodes: Node[] = [];
  // Two of each, so that they have to ask each other.
  for (const service of [...SERVICES, ...SERVICES]) {
    const uri = `spiffe://txmesh/service/${service}`;
    const security = openSecurity(
      { policy: POLICY, audit: 'denied', encrypted: true, certificates: true },
      {
        catalogue: catalogueOfMesh(),
        clock: systemClock,
        info: () => undefined,
        error: () => undefined,
        audit: (_, fields) => void (fields['decision'] === 'denied' && denials.push(fields)),
      },
    );
    const node = await startNode(
      { host: '127.0.0.1', port: 0, ...HOSTED[service], defaultPartitions: 4, leaseTtlMs: 5000 },
      { store, closesStore: false, log: () => undefined, credentials: { server: authority.server({ uri }, 'required'), channels: authority.channel({ uri }) }, guard: security.guard },
    );
    nodes.push(node);
    onTestFinished(async () => {
      security.close();
      await node.drain(0);
    });
  }
  await Promise.all(nodes.map((node) => node.ready()));
  const by = (uri: string) => ({ addresses: [nodes[0]!.address], credentials: authority.channel({ uri }), timeoutMs: 30_000 });
  const connected = (uri: string) => {
    const mesh = connect(by(uri));
    onTestFinished(() => mesh.close());
    return mesh;
  };
  const as = (name: string) => connected(`spiffe://txmesh/client/${name}`);
  const client = as('client');
  await client.queue().topics.create('orders');
  await client.queue().subscriptions.create('packing', 'orders');
  await client.counter('sold').create();
  await client.counter('seen').create({ kind: 'SHARDED', shards: 4 });
  const orders = 20;
  await Promise.all(
    Array.from({ length: orders }, (_, i) =>
      client.transaction(async (tx) => {
        tx.put('inventory', 'stock', `item-${i}`, 'v');
        tx.put('payments', 'accounts', `account-${i}`, 'v');
        tx.publish('orders', `order-${i}`);
        tx.add('sold', 1);
      }),
    ),
  );
  await Promise.all(Array.from({ length: orders }, () => client.counter('seen').add(1)));
  const packed = new Set<string>();
  for await (const message of client.queue().messages('packing')) {
    packed.add(message.text());
    await message.ack();
    if (packed.size === orders) break;
  }
  expect((await client.counter('sold').get()).value).toBe(BigInt(orders));
  await until('every add to the sharded counter counts', 20_000, async () => (await client.counter('seen').get()).value === BigInt(orders));
  const notebook = new Notebook();
  const listening = (name: string, uri: string) => ({
    name,
    mesh: by(uri),
    listen: '127.0.0.1:0',
    credentials: authority.server({ uri }, 'required'),
    peers: ['spiffe://txmesh/service/*'],
    resourceManager: notebook,
  });
  const loyalty = await serveParticipant(listening('loyalty', 'spiffe://txmesh/participant/loyalty'));
  onTestFinished(() => loyalty.close(0));
  const points = { participant: 'loyalty', routingKey: 'anne', operation: { typeUrl: 'type.googleapis.com/loyalty.Award', value: Buffer.from('10 points') } };
  expect((await client.execute({ operations: [points] })).committed).toBe(true);
  await until('the participant of a user has the outcome', 20_000, () => notebook.applied.size === 1);

  const interactive = await client.begin();
  await interactive.put('inventory', 'stock', 'late', 'v');
  await interactive.put('payments', 'accounts', 'late', 'v');
  expect((await interactive.commit()).committed).toBe(true);
  expect(denials).toEqual([]);

  await expect(client.retry(interactive.id)).rejects.toBeInstanceOf(PermissionDenied);
  expect(['COMMITTED', 'COMMITTING']).toContain((await as('operator').retry(interactive.id)).state);
  await expect(serveParticipant(listening('stranger', 'spiffe://txmesh/client/stranger'))).rejects.toBeInstanceOf(PermissionDenied);
  await expect(connected('spiffe://txmesh/participant/loyalty').keyValue('inventory').collection('stock').get('late')).rejects.toBeInstanceOf(PermissionDenied);
  await expect(as('stranger').keyValue('inventory').collection('stock').get('late')).rejects.toBeInstanceOf(PermissionDenied);
});
