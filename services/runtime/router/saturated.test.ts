import { setImmediate as turn } from 'node:timers/promises';
import { expect, onTestFinished, test, vi } from 'vitest';
import { BranchState, CoordinatorServiceService as coordinator, InquireResponse_Outcome as Outcome, State, type Transaction } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { ClusterServiceService as cluster } from '../../gen/txmesh/cluster/v1/cluster.ts';
import { ParticipantServiceService as participant } from '../../gen/txmesh/participant/v1/participant.ts';
import { QueueServiceService as queue } from '../../gen/txmesh/queue/v1/queue.ts';
import { QueueClient, subscriptionOf, topicOf } from '../../queue/handlers/testing/client.ts';
import { failureOf, newId, putOp, startMesh } from './testing/nodes.ts';

const MAX_CALLS = 4;
const MAX_STREAMS = 2;
const HOLD = { seconds: 60n, nanos: 0 };
const WAIT = { timeout: 20_000, interval: 5 };

const execute = () => ({ transactionId: newId(), operations: [putOp('inventory', newId(), 'v'), putOp('payments', newId(), 'v')], timeout: undefined, firstTryTime: undefined, mode: 0 as const });

test('while every replica is full of work, new work is refused, and phase 2, inquiries and registrations go on', async () => {
  let losing = true;
  const mesh = await startMesh(
    { partitions: 1, leaseTtlMs: 10_000, server: { maxCalls: MAX_CALLS, maxStreams: MAX_STREAMS }, participants: [], queues: ['queue'] },
    1,
    { faults: { loses: (lost) => losing && lost.to === 'participant' && lost.message.type === 'commit' } },
  );
  onTestFinished(() => mesh.close());
  await mesh.add({ coordinator: false, participants: ['inventory', 'payments'], queues: [] });
  await mesh.nodes[1]!.ready();
  const [first, second] = mesh.nodes as [typeof mesh.nodes[0], typeof mesh.nodes[0]];
  const queues = new QueueClient(mesh);
  await queues.create(topicOf('t'), subscriptionOf('s', 't'));

  // Decided, but its participants have not heard of it.
  const request = execute();
  const { transaction } = await mesh.call(coordinator.execute, request, second);
  expect(transaction!.state).toBe(State.COMMITTING);
  const events: Transaction[] = [];
  const stopping = new AbortController();
  onTestFinished(() => stopping.abort());
  const watch = async (address: string): Promise<void> => {
    const about = { transactionId: request.transactionId, positions: [], fromStart: true };
    for await (const response of mesh.channels.stream(address, coordinator.watchTransactions, about, { signal: stopping.signal }))
      for (const event of response.events) events.push(event.transaction!);
  };
  const watches = Promise.allSettled([first.address, second.address].flatMap((address) => Array.from({ length: MAX_STREAMS }, () => watch(address))));

  // Pulls that wait, at the second and so, forwarded, at the first: all calls of both are taken.
  const pull = { participant: 'queue', subscription: 's', maxMessages: 1, maxBytes: 0, wait: HOLD, ackDeadline: undefined, partition: undefined };
  const hold = async (): Promise<void> => {
    // One that meets a replica that is full for a moment comes again.
    while (!stopping.signal.aborted) {
      await mesh.call(queue.pull, pull, second, { signal: stopping.signal }).catch(() => undefined);
      await turn();
    }
  };
  const pulls = Promise.all(Array.from({ length: MAX_CALLS }, hold));
  const isFull = async (node: typeof first): Promise<boolean> => (await failureOf(mesh.call(coordinator.execute, execute(), node))).reason === 'OVERLOADED';
  for (const node of [first, second]) await vi.waitUntil(() => isFull(node).catch(() => false), WAIT);

  const branch = { transactionId: request.transactionId, attempt: transaction!.attempt, coordinatorPartition: 0, participant: 'inventory', partition: 0 };
  for (const node of [first, second]) expect(await mesh.call(coordinator.inquire, branch, node)).toMatchObject({ outcome: Outcome.COMMITTED });
  const registration = { name: 'loyalty', address: '127.0.0.1:1', timeToLive: { seconds: 10n, nanos: 0 }, registrationId: '' };
  for (const node of [first, second]) expect((await mesh.call(cluster.registerParticipant, { ...registration, name: `loyalty-${mesh.nodes.indexOf(node)}` }, node)).registrationId).not.toBe('');
  const told = { branch: { ...branch, clusterId: first.view.clusterId }, traceparent: '', lowWaterMark: undefined };
  for (const node of [first, second]) expect(await mesh.call(participant.commit, told, node)).toMatchObject({ heuristic: 0 });

  losing = false;
  await vi.waitUntil(() => events.some(({ branches }) => branches.every(({ state }) => state === BranchState.COMPLETED)), WAIT);
  for (const node of [first, second]) expect(await isFull(node)).toBe(true);
  stopping.abort();
  await Promise.all([watches, pulls]);
  // And then there is room again.
  await vi.waitUntil(() => mesh.call(coordinator.execute, execute(), second).then(() => true, () => false), WAIT);
});
