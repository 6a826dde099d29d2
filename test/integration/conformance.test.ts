/**
 * The conformance suite for participants against the project's own key-value participant, on a server
 * without a coordinator. The suite plays the coordinator partition, so the test takes that one's
 * leadership in the store, under an address where nobody answers inquiries.
 */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, json, put } from 'txmesh/client';
import { conformanceTests } from 'txmesh/participant/conformance';
import { startNode, type Node } from '../../services/mesh.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { leaderCodec } from '../../services/runtime/cluster/codec.ts';
import { joinService } from '../../services/runtime/cluster/identity.ts';
import { leaderKey } from '../../services/runtime/cluster/keys.ts';
import { MemoryStore } from '../../services/runtime/store/memory.ts';

const NOBODY = '127.0.0.1:9';
const HOUR_MS = 3_600_000;
const keyOf = (number: number): string => `key-${number}`;

let store: MemoryStore;
let node: Node;
let port = 0;
let epoch = 0;

async function start(): Promise<void> {
  const settings = { host: '127.0.0.1', port, coordinator: false, participants: ['inventory'], partitions: 1 };
  node = await startNode(settings, { store, log: () => undefined, closesStore: false });
  port = node.port;
  await node.ready();
}

beforeAll(async () => {
  store = new MemoryStore(systemClock);
  await joinService(store, 'coordinator', 'coordinator', 1, 1);
  const lease = await store.grantLease(HOUR_MS);
  const result = await store.write({ puts: [{ key: leaderKey('coordinator', 0), value: leaderCodec.encode({ replica: 'the suite', address: NOBODY }), lease }] });
  epoch = result.type === 'written' ? result.revision : 0;
  await start();
});
afterAll(async () => {
  await node.drain(0);
  await store.close();
});

const options = {
  participant: 'inventory',
  operations: (number: number) => [put('inventory', 'shelf', keyOf(number), json(number)).operation],
  effects: async (number: number) => (await changesOf(keyOf(number))).length,
  async restart(): Promise<void> {
    await node.drain(0);
    await start();
  },
};

/** The versions that a key has had, from the records of changes. */
async function changesOf(key: string): Promise<number[]> {
  const mesh = connect(node.address);
  try {
    const shelf = mesh.keyValue('inventory').collection('shelf');
    // Written last, so that the watch has an end.
    await shelf.put('end', 'of the watch');
    const versions: number[] = [];
    for await (const event of shelf.watch({ after: new Map([[0, 0]]) })) {
      if (event.key === key) versions.push(event.version);
      if (event.key === 'end' && !event.superseded) break;
    }
    return versions;
  } finally {
    mesh.close();
  }
}

// The names are known before the participant runs; its address and cluster only then.
const names = conformanceTests({ ...options, address: NOBODY, clusterId: '' }).map(({ name }, index) => [name, index] as const);
let bound: ReturnType<typeof conformanceTests> | undefined;
test.each(names)('the key-value participant: %s', async (_, index) => {
  bound ??= conformanceTests({ ...options, address: node.address, clusterId: node.view.clusterId, epoch });
  expect(bound).toHaveLength(names.length);
  await bound[index]!.run();
}, 30_000);
