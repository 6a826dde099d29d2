import * as grpc from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ParticipantServiceService, Vote } from '../../../gen/txmesh/participant/v1/participant.ts';
import { partitionOf } from '../../../kernel/hash.ts';
import type { BranchId, ToCoordinator } from '../../../kernel/messages.ts';
import type { Duplex, Handlers } from '../service.ts';
import { openServer, until } from '../testing/mesh.ts';
import { branchOf, CLUSTER, openReplica, prepareOf, TestView, type TestReplica, type TestTerm } from '../testing/replica.ts';
import { encodeResponseFrame } from './encode-codec.ts';
import type { RequestFrame } from './frames.ts';
import { participantService } from './index.ts';
import { systemClock } from '../../clock.ts';

const ATTEMPT = { epoch: 10, counter: 3 };

/** Serves Exchange as whoever it is likes. */
interface Outsider {
  readonly address: string;
  /** Branches of the messages that it was sent. */
  readonly heard: readonly string[];
  say(...messages: ToCoordinator[]): void;
}

async function openOutsider(): Promise<Outsider> {
  const { server } = openServer();
  const heard: string[] = [];
  let open: Duplex<RequestFrame, Buffer> | undefined;
  server.add(participantService(systemClock), {
    exchange: (call: Duplex<RequestFrame, Buffer>) => {
      open = call;
      call.write(encodeResponseFrame({ clusterId: CLUSTER, messages: [] }));
      return call.receive((frame) => void heard.push(...frame.messages.map(({ branch }) => branch.participant)));
    },
  } as unknown as Handlers<ReturnType<typeof participantService>>);
  const address = `127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
  return { address, heard, say: (...messages) => void open!.write(encodeResponseFrame({ clusterId: CLUSTER, messages })) };
}

function register(view: TestView, name: string, address: string): void {
  view.externals.set(name, { name, registrationId: name, address });
  view.changed();
}

/** Of an attempt of the coordinator partition that its transaction belongs to, which is partition 0. */
function branchAt(participant: string, partition = 0, attempt = ATTEMPT): BranchId {
  for (;;) {
    const branch = branchOf(attempt, partition, participant);
    if (partitionOf(branch.transactionId, 4) === 0) return branch;
  }
}

const yes = (branch: BranchId): ToCoordinator => ({ type: 'vote', branch, vote: 'yes' });

/** A coordinator partition, and a link from it to an outsider that is registered as `bank`. */
async function openPair(): Promise<{ view: TestView; left: TestReplica; coordinator: TestTerm; outsider: Outsider }> {
  const view = new TestView();
  const left = await openReplica(view);
  const coordinator = left.lead('coordinator', 0, 10);
  const outsider = await openOutsider();
  register(view, 'bank', outsider.address);
  left.links.toParticipant(prepareOf(branchAt('bank')));
  await until(() => outsider.heard.length === 1);
  return { view, left, coordinator, outsider };
}

describe('at the address of a participant outside of the mesh', () => {
  it('whatever is said of others is not heard: no vote, acknowledgement, enlistment or inquiry of theirs', async () => {
    const { view, left, coordinator, outsider } = await openPair();
    const right = await openReplica(view);
    right.lead('stock', 0, 20);
    register(view, 'ledger', '127.0.0.1:1');
    const own = branchAt('bank');
    for (const participant of ['stock', 'ledger', 'nobody', 'coordinator']) {
      const branch = branchAt(participant);
      outsider.say(
        yes(branch),
        { type: 'acknowledge', branch },
        { type: 'acknowledge', branch, heuristic: 'abort' },
        { type: 'enlist', branch, epoch: 1 },
        { type: 'inquire', branch },
        { type: 'undelivered', branch, failure: { reason: 'NO_LEADER', message: 'not true' } },
      );
    }
    outsider.say(yes(own));
    await until(() => coordinator.messages.length > 0);
    expect(coordinator.messages).toEqual([yes(own)]);
    const told = left.logs.filter(({ message }) => message === 'what a participant may not say is not heard');
    expect(told).toEqual([expect.objectContaining({ fields: expect.objectContaining({ address: outsider.address, participant: 'stock' }) })]);
  });

  it('P5 an epoch that was never sent there is not heard of, and so deposes nobody', async () => {
    const { coordinator, outsider } = await openPair();
    outsider.say(yes(branchAt('bank', 0, { epoch: 11, counter: 1 })), { type: 'inquire', branch: branchAt('bank', 0, { epoch: 9e15, counter: 1 }) });
    const earlier = yes(branchAt('bank', 0, { epoch: 9, counter: 1 }));
    outsider.say(earlier);
    await until(() => coordinator.messages.length > 0);
    expect(coordinator.messages).toEqual([earlier]);
  });

  it('a partition that it has not, and a coordinator partition that the transaction is not of, are not heard of', async () => {
    const { left, coordinator, outsider } = await openPair();
    const other = left.lead('coordinator', 1, 10);
    const own = branchAt('bank');
    outsider.say(yes(branchAt('bank', 1)), yes({ ...own, coordinatorPartition: 1 }), yes(own));
    await until(() => coordinator.messages.length > 0);
    expect([coordinator.messages, other.messages]).toEqual([[yes(own)], []]);
  });

  it('several that share it are all heard', async () => {
    const { view, coordinator, outsider } = await openPair();
    register(view, 'ledger', outsider.address);
    const own = [yes(branchAt('bank')), yes(branchAt('ledger'))];
    outsider.say(...own);
    await until(() => coordinator.messages.length === 2);
    expect(coordinator.messages).toEqual(own);
  });

  it('one that has moved is heard where it is now, and no longer where it was', async () => {
    const { view, left, coordinator, outsider } = await openPair();
    register(view, 'ledger', outsider.address);
    const elsewhere = await openOutsider();
    register(view, 'bank', elsewhere.address);
    const own = branchAt('ledger');
    outsider.say(yes(branchAt('bank')), yes(own));
    await until(() => coordinator.messages.length === 1);
    const branch = branchAt('bank');
    left.links.toParticipant(prepareOf(branch));
    await until(() => elsewhere.heard.length === 1);
    elsewhere.say(yes(branch));
    await until(() => coordinator.messages.length === 2);
    expect(coordinator.messages).toEqual([yes(own), yes(branch)]);
  });

  it('a plain call that it answers when its name is registered elsewhere counts for nothing', async () => {
    const view = new TestView();
    const left = await openReplica(view);
    const coordinator = left.lead('coordinator', 0, 10);
    const plain = new grpc.Server();
    onTestFinished(() => plain.forceShutdown());
    const waiting: grpc.sendUnaryData<unknown>[] = [];
    const { exchange: _, ...withoutExchange } = ParticipantServiceService;
    plain.addService(withoutExchange as unknown as grpc.ServiceDefinition, {
      prepare: (_call: unknown, callback: grpc.sendUnaryData<unknown>) => void waiting.push(callback),
      commit: (_call: unknown, callback: grpc.sendUnaryData<unknown>) => callback(null, { heuristic: 0 }),
    });
    const port = await new Promise<number>((resolve) => plain.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (_e, p) => resolve(p)));
    register(view, 'bank', `127.0.0.1:${port}`);
    register(view, 'ledger', `127.0.0.1:${port}`);
    left.links.toParticipant(prepareOf(branchOf(ATTEMPT, 0, 'bank')));
    await until(() => waiting.length === 1);
    register(view, 'bank', '127.0.0.1:1');
    waiting[0]!(null, { vote: Vote.YES, cause: undefined });
    left.links.toParticipant({ type: 'commit', branch: branchOf(ATTEMPT, 0, 'ledger') });
    await until(() => coordinator.messages.length > 0);
    expect(coordinator.messages).toMatchObject([{ type: 'acknowledge', branch: { participant: 'ledger' } }]);
  });
});

it('a replica is believed, whatever outsider is registered at its address', async () => {
  const view = new TestView();
  const left = await openReplica(view);
  const right = await openReplica(view);
  const stock = right.lead('stock', 0, 20);
  const coordinator = left.lead('coordinator', 0, 10);
  register(view, 'bank', right.address);
  const branch = branchOf(ATTEMPT);
  left.links.toParticipant(prepareOf(branch));
  await until(() => stock.messages.length === 1);
  right.links.toCoordinator({ type: 'inquire', branch: branchOf({ epoch: 11, counter: 1 }) });
  right.links.toCoordinator(yes(branch));
  await until(() => coordinator.messages.length === 2);
  expect(coordinator.messages).toMatchObject([{ type: 'inquire', branch: { attempt: { epoch: 11 } } }, yes(branch)]);
});
