import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { CoordinatorServiceService as coordinator } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { CounterServiceService as counter, Kind } from '../../gen/txmesh/counter/v1/counter.ts';
import { KeyValueServiceService as keyvalue } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { ParticipantServiceService as participant } from '../../gen/txmesh/participant/v1/participant.ts';
import { QueueServiceService as queue } from '../../gen/txmesh/queue/v1/queue.ts';
import { Channels, type Method } from '../transport/channels.ts';
import { messageOf, QueueClient, subscriptionOf, topicOf } from '../../queue/handlers/testing/client.ts';
import { newId, putOp, startMesh, type Meshed } from './testing/nodes.ts';

type AnyMethod = Method<object, unknown> & { requestDeserialize(bytes: Buffer): object };
type Call = readonly [name: string, method: object, request: () => object | Promise<object>];

/** What stays of the caller's time on its way here. */
const LEFT_MS = 7_000;

let mesh: Meshed;
let queues: QueueClient;
let ackId = '';

// The second node leads nothing: what it is asked, it forwards.
beforeAll(async () => {
  mesh = await startMesh({ partitions: 1, leaseTtlMs: 10_000, queues: ['queue'], counters: ['counter'] }, 1);
  await mesh.add({ coordinator: false, participants: [], queues: [], counters: [] });
  await mesh.nodes[1]!.ready();
  queues = new QueueClient(mesh);
  await queues.create(topicOf('t'), subscriptionOf('s', 't'));
  await queues.publish('t', 'a');
  ackId = (await queues.pull('s'))[0]!.ackId;
  await mesh.call(counter.createCounter, filled(counter.createCounter, { counter: 'c', kind: Kind.STRONG }));
});
afterAll(() => mesh.close());

/** With everything that may be left out left out. */
function filled<Request extends object>(method: { requestDeserialize(bytes: Buffer): Request }, request: object): Request {
  return { ...method.requestDeserialize(Buffer.alloc(0)), ...request };
}

const key = { participant: 'inventory', collection: 'stock', key: 'k' };
const CALLS: readonly Call[] = [
  ['a read', keyvalue.get, () => key],
  ['reads of many', keyvalue.batchGet, () => ({ participant: 'inventory', keys: [{ collection: 'stock', key: 'k' }] })],
  ['a scan', keyvalue.scan, () => ({ participant: 'inventory', collection: 'stock' })],
  ['versions', keyvalue.listVersions, () => key],
  ['a write', keyvalue.put, () => ({ ...key, value: Buffer.from('v') })],
  ['a local transaction', keyvalue.executeLocal, () => ({ transactionId: newId(), operations: [putOp('inventory', 'k', 'v')] })],
  ['a transaction', coordinator.execute, () => ({ transactionId: newId(), operations: [putOp('inventory', 'k', 'v'), putOp('payments', 'k', 'v')] })],
  ['the start of a transaction', coordinator.beginTransaction, () => ({ transactionId: newId() })],
  ['transactions', coordinator.listTransactions, () => ({})],
  ['promises', participant.listPrepared, () => ({ participant: 'inventory' })],
  ['a new topic', queue.createTopic, () => ({ topic: topicOf('u') })],
  ['a topic', queue.getTopic, () => ({ name: 't' })],
  ['a publish', queue.publish, () => ({ topic: 't', messages: [messageOf('b')] })],
  ['a pull', queue.pull, () => ({ subscription: 's', maxMessages: 1 })],
  ['a deadline of a message', queue.modifyAckDeadline, () => ({ subscription: 's', ackIds: [ackId], ackDeadline: { seconds: 60n, nanos: 0 } })],
  ['an acknowledgement', queue.acknowledge, () => ({ subscription: 's', ackIds: [ackId] })],
  ['a value', counter.get, () => ({ counter: 'c' })],
  ['values', counter.batchGet, () => ({ counters: ['c'] })],
  ['rates', counter.getRates, () => ({ counter: 'c' })],
  ['a reset', counter.reset, () => ({ counter: 'c' })],
];

describe('the time that a caller has left goes along to the partition’s leader', () => {
  test.each(CALLS)('with %s', async (_name, method, request) => {
    const unary = vi.spyOn(Channels.prototype, 'unary');
    onTestFinished(() => unary.mockRestore());
    const deadlineMs = Date.now() + LEFT_MS;
    await mesh.call(method as AnyMethod, filled(method as AnyMethod, await request()), mesh.nodes[1]!, { deadlineMs });
    const hops = unary.mock.calls.flatMap(([, { path }, , options]) => (options?.forwarded === true ? [{ path, deadlineMs: options.deadlineMs }] : []));
    expect(hops.length).toBeGreaterThan(0);
    for (const hop of hops) {
      // What goes along is the time left, so it shifts by the time of the way.
      expect(hop.deadlineMs, hop.path).toBeLessThanOrEqual(Date.now() + LEFT_MS);
      expect(hop.deadlineMs, hop.path).toBeGreaterThan(deadlineMs - LEFT_MS);
    }
  });
});
