/**
 * Every metric of the table is recorded, with the attributes that the table names: one node in this
 * process does a bit of everything, and its page is read.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connect, put, type Mesh, type Outcome } from 'txmesh/client';
import { startNode, type Node } from '../../services/mesh.ts';
import { catalogueOfMesh } from '../../services/mesh/access.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { openSecurity } from '../../services/runtime/security/open.ts';
import { MemoryStore } from '../../services/runtime/store/memory.ts';
import { INSTRUMENTS, type InstrumentName } from '../../services/runtime/telemetry/metrics/instruments.ts';
import { securityObserver } from '../../services/runtime/telemetry/metrics/security.ts';
import { knownValues } from '../../deploy/dashboards/known-values.ts';
import { startTelemetry, type TelemetryHandle } from '../../services/runtime/telemetry/start.ts';
import { folder } from './support/processes.ts';
import { prometheusName, scrape, type Scrape } from './support/scrape.ts';
import { until } from './support/until.ts';

const BOUND_MS = 30_000;
const POLICY = `
open: [health]
rules:
  - name: shop
    who: anybody
    allow:
      - methods: ["*"]
        rights: [admin]
        participants: ["*"]
        collections: [accounts]
        topics: ["*"]
        subscriptions: ["*"]
        counters: ["*"]
`;

class LimitedStore extends MemoryStore {
  override async size() {
    return { ...(await super.size()), limitBytes: 1_000_000_000 };
  }
}

let telemetry: TelemetryHandle;
let node: Node;
let mesh: Mesh;
/** Whether what the participant payments is told of commits is lost. */
let loses = false;

beforeAll(async () => {
  telemetry = await startTelemetry({ serviceName: 'txmesh', version: '0', environment: {}, scrape: { host: '127.0.0.1', port: 0 }, host: '127.0.0.1' });
  node = await startNode(
    {
      host: '127.0.0.1',
      port: 0,
      coordinator: true,
      participants: ['inventory', 'payments'],
      queues: ['queue'],
      counters: ['counter'],
      // Nobody is there: attempts fail.
      counterPeers: ['127.0.0.1:1'],
      partitions: 2,
    },
    {
      store: new LimitedStore(systemClock),
      log: () => undefined,
      metrics: telemetry.metrics,
      faults: { loses: (lost) => loses && lost.to === 'participant' && lost.message.type === 'commit' && lost.message.branch.participant === 'payments' },
    },
  );
  await node.ready();
  mesh = connect(node.address);
});
afterAll(async () => {
  mesh?.close();
  await node?.drain(1_000);
  await telemetry?.shutdown();
});

const page = (): Promise<Scrape> => scrape(telemetry.metricsPort!);
/** The page as soon as the condition holds. */
const pageWhen = (what: string, condition: (page: Scrape) => boolean): Promise<Scrape> =>
  until(what, BOUND_MS, async () => {
    const seen = await page();
    return condition(seen) && seen;
  });

test('a transaction over keys, a queue and a counter, and a refused one, are counted once', async () => {
  const { topics, subscriptions, publish } = bound(mesh);
  await topics.create('orders');
  await topics.create('dead');
  await subscriptions.create('billing', 'orders', { ackDeadlineMs: 600_000, deadLetterPolicy: { topic: 'dead', maxDeliveryAttempts: 1 } });
  for (const kind of ['STRONG', 'QUEUED', 'REPLICATED'] as const) await mesh.counter(kind.toLowerCase()).create({ kind });
  // Making these took transactions, too.
  const before = await page();
  const committed = (seen: Scrape) => seen.sum('txmesh_transaction_finished_total', { txmesh_outcome: 'committed' })! - before.sum('txmesh_transaction_finished_total', { txmesh_outcome: 'committed' })!;

  await mesh.transaction((tx) => {
    tx.put('inventory', 'stock', 'book', '1');
    tx.publish('orders', { data: 'first' });
    tx.add('strong', 2);
    return Promise.resolve();
  });
  const refused = await mesh.execute({
    operations: [put('inventory', 'stock', 'pen', '1'), put('payments', 'accounts', 'alice', '1', { precondition: { version: 99 } })],
  });
  expect(refused.committed).toBe(false);
  const seen = await page();
  expect(committed(seen)).toBe(1);
  const aborted = seen.of('txmesh_transaction_finished_total', { txmesh_outcome: 'aborted' });
  expect(aborted.filter(({ value }) => value > 0)).toMatchObject([{ labels: { txmesh_reason: 'PRECONDITION_FAILED' }, value: 1 }]);
  // What would be the mesh's doing is there from the start.
  expect(seen.sum('txmesh_transaction_finished_total', { txmesh_reason: 'NO_LEADER' })).toBe(0);
  // They came on a stream, each a request of its own, and an abort is an answer.
  const execute = { grpc_method: 'txmesh.coordinator.v1.CoordinatorService/ExecuteStream', grpc_status: 'OK' };
  expect(seen.sum('txmesh_request_finished_total', execute)! - before.sum('txmesh_request_finished_total', execute)!).toBe(2);
  expect(seen.sum('txmesh_stream_request_duration_count', { grpc_method: execute.grpc_method })).toBe(seen.sum('txmesh_request_finished_total', execute));
  expect(seen.sum('txmesh_conflict_total', { txmesh_participant: 'payments' })).toBe(1);
  expect(seen.sum('txmesh_queue_published_total', { txmesh_topic: 'orders', txmesh_participant: 'queue' })).toBe(1);
  expect(seen.sum('txmesh_queue_backlog', { txmesh_subscription: 'billing' })).toBe(1);
  expect(seen.sum('txmesh_counter_added_total', { txmesh_kind: 'strong' })).toBe(1);
  for (const phase of ['prepare', 'decide']) {
    const count = (each: Scrape) => each.sum('txmesh_transaction_phase_duration_count', { txmesh_phase: phase }) ?? 0;
    expect(count(seen) - count(before), phase).toBe(2);
  }
  expect(seen.sum('txmesh_partition_led', { txmesh_service: 'coordinator' })).toBe(2);
  expect(seen.sum('txmesh_partition_leaderless')).toBe(0);
  expect(seen.sum('txmesh_partition_leadership_changes_total', { txmesh_change: 'gained', txmesh_service: 'queue' })).toBe(2);

  // Messages: one is taken and given back, so that it is a dead letter; one is acknowledged; one stays out.
  await giveBack();
  await publish('orders', ['second', 'third', 'fourth']);
  const [second, third] = await pull(2);
  await second!.ack();
  const messages = await pageWhen('what happened to the messages is counted', (each) => each.sum('txmesh_queue_dead_lettered_total') === 1);
  expect(messages.sum('txmesh_queue_delivered_total', { txmesh_subscription: 'billing' })).toBe(3);
  expect(messages.sum('txmesh_queue_acknowledged_total', { txmesh_subscription: 'billing' })).toBe(2);
  expect(messages.sum('txmesh_queue_backlog', { txmesh_subscription: 'billing' })).toBe(2);
  expect(messages.sum('txmesh_queue_in_flight', { txmesh_subscription: 'billing' })).toBe(1);
  await pageWhen('the oldest message gets older', (each) => each.sum('txmesh_queue_oldest_unacknowledged_age', { txmesh_subscription: 'billing' })! > 0.001);
  await third!.ack();

  await Promise.all([mesh.counter('queued').add(1), mesh.counter('replicated').add(1)]);
  // The peer is not there, so what is told to it waits.
  await pageWhen('a replicated counter is behind', (each) => each.sum('txmesh_counter_freshness', { txmesh_kind: 'replicated' })! > 0);
  await pageWhen('what is queued is rolled up', (each) => each.sum('txmesh_counter_freshness', { txmesh_kind: 'queued' }) === 0);
});

test('a branch in doubt and whoever waits for its locks are seen, and gone when it is resolved', async () => {
  loses = true;
  const operations = () => [put('payments', 'accounts', 'bob', '1'), put('inventory', 'stock', 'ink', '1')];
  const first = await mesh.execute({ operations: operations() });
  // An older one waits for the lock.
  const second: Promise<Outcome> = mesh.execute({ operations: operations(), firstTryTime: new Date(Date.now() - 60_000) });
  const seen = await pageWhen('somebody waits for a lock', (each) => each.sum('txmesh_lock_waiting', { txmesh_participant: 'payments' }) === 1);
  expect(seen.sum('txmesh_branch_prepared', { txmesh_participant: 'payments' })).toBe(1);
  await pageWhen('the branch in doubt gets older', (each) => each.sum('txmesh_branch_in_doubt_age', { txmesh_participant: 'payments' })! > 0.001);
  expect(seen.sum('txmesh_transaction_open', { txmesh_state: 'committing' })).toBe(1);
  expect(seen.sum('txmesh_transaction_open', { txmesh_state: 'preparing' })).toBe(1);
  await pageWhen('the commit that is not acknowledged gets older', (each) => each.sum('txmesh_transaction_completing_age')! > 0.001);

  const { branches } = await mesh.get(first.transactionId);
  await mesh.resolve(first.transactionId, branches.find(({ participant }) => participant === 'payments')!, 'COMMIT');
  loses = false;
  expect((await second).committed).toBe(true);
  const after = await pageWhen('nothing is under way', (each) => each.sum('txmesh_transaction_open') === 0 && each.sum('txmesh_branch_prepared') === 0);
  expect(after.sum('txmesh_branch_heuristic_total', { txmesh_participant: 'payments', txmesh_outcome: 'committed' })).toBe(1);
  expect(after.sum('txmesh_lock_wait_duration_count', { txmesh_participant: 'payments' })).toBe(1);
  expect(after.sum('txmesh_branch_in_doubt_age')).toBe(0);
  expect(after.sum('txmesh_transaction_completing_age')).toBe(0);
});

test('what a policy decides is counted', async () => {
  const policy = join(folder(), 'policy.yaml');
  writeFileSync(policy, POLICY);
  const nothing = (): void => undefined;
  const observer = securityObserver(telemetry.metrics!);
  const security = openSecurity(
    { policy, audit: 'denied', encrypted: false, certificates: false },
    { catalogue: catalogueOfMesh(), clock: systemClock, audit: nothing, info: nothing, error: nothing, observer },
  );
  const guarded = await startNode(
    { host: '127.0.0.1', port: 0, coordinator: true, participants: ['payments'] },
    { store: new MemoryStore(systemClock), log: nothing, guard: security.guard },
  );
  const caller = connect(guarded.address);
  onTestFinished(async () => {
    caller.close();
    await guarded.drain(1_000);
    security.close();
  });
  await caller.keyValue('payments').collection('accounts').put('alice', '1');
  await expect(caller.keyValue('payments').collection('secret').get('alice')).rejects.toThrow('secret');
  const seen = await page();
  expect(seen.sum('txmesh_authorization_decisions_total', { txmesh_decision: 'denied' })).toBe(1);
  expect(seen.sum('txmesh_authorization_decisions_total', { txmesh_decision: 'allowed' })).toBeGreaterThan(0);
  expect(seen.sum('txmesh_admission_refused_total', { txmesh_reason: 'in_flight' })).toBe(0);
});

test('every metric of the table is there, with the type and the attributes that it names', async () => {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const seen = await pageWhen('a garbage collection is recorded', (each) => each.sum('v8js_gc_duration_count')! > 0);
  const expected = new Map(Object.entries(INSTRUMENTS).map(([name, { kind }]) => [prometheusName(name, kind), name as InstrumentName]));
  const missing = [...expected].filter(([family]) => !seen.types.has(family)).map(([, name]) => name);
  expect(missing).toEqual([]);
  expect([...seen.types.keys()].filter((family) => !expected.has(family))).toEqual(['target_info']);
  for (const [family, name] of expected) {
    const { kind, attributes } = INSTRUMENTS[name];
    const type = kind.replace('watched ', '');
    expect(seen.types.get(family), family).toBe(type);
    const samples = seen.of(type === 'histogram' ? `${family}_count` : family);
    expect(samples.length, family).toBeGreaterThan(0);
    const wanted = attributes.map((attribute) => attribute.replaceAll('.', '_')).sort();
    for (const { labels, value } of samples) {
      expect(Object.keys(labels).sort(), family).toEqual(wanted);
      expect(value, family).toBeGreaterThanOrEqual(0);
      for (const [label, given] of Object.entries(labels)) expect(knownValues(family, label) ?? [given], `${family} ${label}`).toContain(given);
    }
  }
});

test('values are in the units that the table names', async () => {
  const seen = await page();
  expect(seen.sum('process_memory_usage')).toBeGreaterThan(20e6);
  expect(seen.sum('process_cpu_time_total')).toBeGreaterThan(0.1);
  expect(seen.sum('process_uptime')).toBeCloseTo(process.uptime(), -1);
  expect(seen.sum('v8js_memory_heap_used')).toBeLessThan(seen.sum('v8js_memory_heap_limit')!);
  expect(seen.sum('nodejs_eventloop_utilization')).toBeLessThanOrEqual(1);
  expect(seen.sum('txmesh_store_limit')).toBe(1e9);
  const [execute] = seen.of('grpc_server_call_started_total', { grpc_method: 'txmesh.coordinator.v1.CoordinatorService/GetTransaction' });
  expect(execute!.value).toBeGreaterThan(0);
  expect(seen.sum('grpc_client_attempt_duration_count', { grpc_target: '127.0.0.1:1', grpc_status: 'UNAVAILABLE' })).toBeGreaterThan(0);
  // A write to memory is no matter of seconds, and a batch has whole commands.
  const mean = seen.sum('txmesh_store_write_duration_sum')! / seen.sum('txmesh_store_write_duration_count')!;
  expect(mean).toBeLessThan(1);
  expect(seen.sum('txmesh_store_writes_total')).toBe(seen.sum('txmesh_store_write_duration_count'));
  expect(Number.isInteger(seen.sum('txmesh_partition_batch_size_sum'))).toBe(true);
});

test('what is not the page is not served, and the endpoint closes with the telemetry', async () => {
  const port = telemetry.metricsPort!;
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
  expect((await fetch(`http://127.0.0.1:${port}/metrics`, { method: 'POST' })).status).toBe(405);
  mesh.close();
  await node.drain(1_000);
  // It tells of the end, too.
  const seen = await page();
  expect(seen.sum('txmesh_partition_leadership_changes_total', { txmesh_change: 'lost', txmesh_service: 'queue' })).toBe(2);
  expect(seen.of('txmesh_transaction_open'), 'what is not led here any more').toEqual([]);
  await telemetry.shutdown();
  await expect(fetch(`http://127.0.0.1:${port}/metrics`)).rejects.toThrow('fetch failed');
});

function bound(of: Mesh) {
  const queue = of.queue();
  return { topics: queue.topics, subscriptions: queue.subscriptions, publish: queue.publish.bind(queue) };
}

async function giveBack(): Promise<void> {
  const [message] = await pull(1);
  await message!.nack();
}

async function pull(count: number) {
  const messages: Awaited<ReturnType<ReturnType<Mesh['queue']>['pull']>>[number][] = [];
  await until(`${count} messages are delivered`, BOUND_MS, async () => {
    messages.push(...(await mesh.queue().pull('billing', { maxMessages: count - messages.length, waitMs: 1_000 })));
    return messages.length === count;
  });
  return messages;
}
