/** What the SDK sends travels on streams: a mesh of two replicas counts it, also where nobody leads. */

import type { ClientDuplexStream } from '@grpc/grpc-js';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { connect, put } from 'txmesh/client';
import { CoordinatorServiceService as coordinator } from '../../../gen/txmesh/coordinator/v1/coordinator.ts';
import { AddStreamRequest, CounterServiceService as counter } from '../../../gen/txmesh/counter/v1/counter.ts';
import { ParticipantServiceService as participant } from '../../../gen/txmesh/participant/v1/participant.ts';
import { Message, PublishStreamRequest, QueueServiceService as queue, StreamingPullRequest } from '../../../gen/txmesh/queue/v1/queue.ts';
import { newId, putOp, startMesh, type Meshed } from '../../router/testing/nodes.ts';
import { Metrics } from './metrics.ts';
import { ScrapedReader } from './readers.ts';
import { WatchedHistograms } from './watched-histograms.ts';

const BOUND_MS = 20_000;
const NOTHING = new Uint8Array(0);
const histograms = new WatchedHistograms({ name: 'test' });
const provider = new MeterProvider({ readers: [new ScrapedReader([histograms])] });
const metrics = new Metrics(provider.getMeter('test'), histograms);
/** The first leads keys alone and counts; the second leads what is asked for. */
let mesh: Meshed;

beforeAll(async () => {
  mesh = await startMesh({ coordinator: false, participants: ['inventory'], partitions: 1 }, 1, { metrics });
  await mesh.add({ coordinator: true, participants: [], queues: ['queue'], counters: ['counter'] }, { metrics });
  await Promise.all(mesh.nodes.map((node) => node.ready()));
});
afterAll(async () => {
  await mesh?.close();
  await provider.shutdown();
});

/** Requests of a method so far, by status, without those that there are none of. */
function counted(path: string): Record<string, number> {
  const found: Record<string, number> = {};
  metrics.requests.read((value, attributes) => {
    if (value > 0 && attributes['grpc.method'] === path.slice(1)) found[String(attributes['grpc.status'])] = value;
  });
  return found;
}

async function answered<Request, Response>(stream: ClientDuplexStream<Request, Response>, request: Request): Promise<Response> {
  const answer = new Promise<Response>((resolve, reject) => void stream.once('data', resolve).once('error', reject));
  stream.write(request);
  try {
    return await answer;
  } finally {
    stream.on('error', () => undefined);
    stream.cancel();
  }
}

test('transactions, messages, acknowledgements and adds of the SDK are counted one by one', async () => {
  const client = connect(mesh.nodes[1]!.address);
  try {
    await client.queue().topics.create('orders');
    await client.queue().subscriptions.create('billing', 'orders');
    await client.counter('sold').create({ kind: 'STRONG' });
    const before = counted(coordinator.executeStream.path)['OK'] ?? 0;
    const outcome = await client.execute({ operations: [put('inventory', 'stock', 'book', '1')] });
    expect(outcome.committed).toBe(true);
    expect(counted(coordinator.executeStream.path)).toEqual({ OK: before + 1 });
    // The branch is led by the other replica: a prepare and a commit.
    await vi.waitUntil(() => counted(participant.exchange.path)['OK']! >= 2, { timeout: BOUND_MS });
    await client.queue().publish('orders', ['first', 'second', 'third']);
    expect(counted(queue.publishStream.path)).toEqual({ OK: 3 });
    await client.counter('sold').add(2);
    await expect(client.counter('none').add(1)).rejects.toThrow('none');
    expect(counted(counter.addStream.path)).toEqual({ OK: 1, NOT_FOUND: 1 });
    let acknowledged = 0;
    for await (const message of client.queue().messages('billing')) {
      await message.ack();
      if (++acknowledged === 3) break;
    }
    // Three acknowledgements, and a demand for each time that messages came.
    await vi.waitUntil(() => counted(queue.streamingPull.path)['OK']! >= 4, { timeout: BOUND_MS });
    expect(Object.keys(counted(queue.streamingPull.path))).toEqual(['OK']);
  } finally {
    client.close();
  }
});

test('requests on streams that nobody leads for are failures of the mesh', async () => {
  const [here, leader] = mesh.nodes;
  await leader!.drain(5_000);
  const { channels } = mesh;
  const { address } = here!;
  const request = { transactionId: newId(), operations: [putOp('inventory', 'a', '1')], timeout: undefined, firstTryTime: undefined, mode: 0 as const };
  const [executed, added] = await Promise.all([
    answered(channels.duplex(address, coordinator.executeStream), { calls: [{ sequence: 1, request, traceparent: '', remaining: undefined }] }),
    answered(channels.duplex(address, counter.addStream), { ...AddStreamRequest.decode(NOTHING), session: newId(), settledBelow: 1, adds: [{ sequence: 1, counter: 'sold', amount: 1n }] }),
    answered(channels.duplex(address, queue.publishStream), { ...PublishStreamRequest.decode(NOTHING), topic: 'orders', calls: [{ sequence: 1, message: Message.decode(NOTHING) }] }),
  ]);
  expect(executed.results[0]!.result).toMatchObject({ $case: 'error', value: { code: 14 } });
  expect(added.results[0]!.error).toMatchObject({ code: 14 });
  for (const { path } of [coordinator.executeStream, counter.addStream, queue.publishStream]) expect(counted(path), path).toMatchObject({ UNAVAILABLE: 1 });
  // A consumer hears nothing of a demand that fails, so it is seen here alone.
  const consumer = channels.duplex(address, queue.streamingPull);
  consumer.on('error', () => undefined);
  consumer.write({ ...StreamingPullRequest.decode(NOTHING), subscription: 'billing' });
  await vi.waitUntil(() => counted(queue.streamingPull.path)['UNAVAILABLE']! > 0, { timeout: BOUND_MS });
  consumer.cancel();
});
