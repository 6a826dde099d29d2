import * as grpc from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  CoordinatorServiceService,
  InquireResponse_Outcome as Outcome,
  type EnlistRequest,
} from '../../../gen/txmesh/coordinator/v1/coordinator.ts';
import { ParticipantServiceService, Vote, type PrepareRequest } from '../../../gen/txmesh/participant/v1/participant.ts';
import { FailureError } from '../../errors/failure-error.ts';
import { serviceErrorToFailure } from '../../errors/status.ts';
import type { Handlers } from '../service.ts';
import { openServer, until } from '../testing/mesh.ts';
import { branchOf, CLUSTER, openReplica, operation, prepareOf, TestView } from '../testing/replica.ts';
import type { ToCoordinator } from '../../../kernel/messages.ts';
import { decodeResponseFrame } from './decode-codec.ts';
import { encodeRequestFrame } from './encode-codec.ts';
import { Outbox } from './outbox.ts';

const ATTEMPT = { epoch: 10, counter: 3 };

/** Coordinator partition 0 at one replica, partition 0 of `stock` at another, with a link between them. */
async function openPair() {
  const view = new TestView();
  const left = await openReplica(view);
  const right = await openReplica(view);
  const stock = right.lead('stock', 0, 20);
  const coordinator = left.lead('coordinator', 0, 10);
  await until(() => stock.heard.length > 0);
  return { view, left, right, stock, coordinator };
}

describe('links', () => {
  it('a prepare and its vote, a commit and its acknowledgement go over the stream', async () => {
    const { left, right, stock, coordinator } = await openPair();
    const branch = branchOf(ATTEMPT);
    left.links.toParticipant(prepareOf(branch, [operation('put'), operation('delete')]));
    await until(() => stock.messages.length === 1);
    expect(stock.messages[0]).toMatchObject({ type: 'prepare', branch, operations: ['put', 'delete'] });
    right.links.toCoordinator({ type: 'vote', branch, vote: 'yes' });
    await until(() => coordinator.messages.length === 1);
    left.links.toParticipant({ type: 'commit', branch, trace: '00-a-b-01' });
    await until(() => stock.messages.length === 2);
    right.links.toCoordinator({ type: 'acknowledge', branch });
    await until(() => coordinator.messages.length === 2);
    expect(coordinator.messages).toMatchObject([{ type: 'vote', branch, vote: 'yes' }, { type: 'acknowledge', branch }]);
    expect(stock.messages[1]).toEqual({ type: 'commit', branch, trace: '00-a-b-01' });
  });

  it('within a process messages are handed over at once, in order, work as work and the rest as control', async () => {
    const view = new TestView();
    const { links, lead } = await openReplica(view);
    const coordinator = lead('coordinator', 0, 10);
    const stock = lead('stock', 0, 20);
    const branch = branchOf(ATTEMPT);
    links.toParticipant(prepareOf(branch, [operation('put')]));
    links.toCoordinator({ type: 'vote', branch, vote: 'yes' });
    links.toParticipant({ type: 'commit', branch });
    expect(stock.heard).toMatchObject([
      { command: { message: { type: 'prepare', operations: ['put'] } }, priority: 'work' },
      { command: { message: { type: 'commit' } }, priority: 'control' },
    ]);
    expect(coordinator.heard).toMatchObject([{ command: { message: { type: 'vote' } }, priority: 'control' }]);
  });

  it('operations that nobody understands are a vote no, near and far', async () => {
    const { left, right, coordinator } = await openPair();
    left.lead('stock', 1, 21);
    left.links.toParticipant(prepareOf(branchOf(ATTEMPT, 1), [operation('?', 'unknown')]));
    expect(coordinator.messages).toMatchObject([{ type: 'vote', vote: 'no', cause: { reason: 'UNKNOWN_OPERATION' } }]);
    left.links.toParticipant(prepareOf(branchOf(ATTEMPT, 0), [operation('?', 'unknown')]));
    await until(() => coordinator.messages.length === 2);
    expect(coordinator.messages[1]).toMatchObject({ type: 'vote', vote: 'no', cause: { reason: 'UNKNOWN_OPERATION' } });
    expect(right.logs.filter(({ message }) => message.includes('failed'))).toEqual([]);
  });

  it('a message to a partition without a known leader comes back', async () => {
    const { left, coordinator } = await openPair();
    left.links.toParticipant({ type: 'commit', branch: branchOf(ATTEMPT, 3) });
    expect(coordinator.messages).toMatchObject([{ type: 'undelivered', failure: { reason: 'NO_LEADER', retryAfterMs: 100 } }]);
  });

  it('a message to a replica that does not lead any more comes back', async () => {
    const { left, right, coordinator } = await openPair();
    right.forget('stock', 0);
    const branch = branchOf(ATTEMPT);
    left.links.toParticipant(prepareOf(branch));
    await until(() => coordinator.messages.length === 1);
    expect(coordinator.messages[0]).toMatchObject({ type: 'undelivered', branch, failure: { reason: 'NO_LEADER' } });
  });

  it('P8 a prepare that a full queue does not take comes back, near and far: it was surely not executed', async () => {
    const { left, right, stock, coordinator } = await openPair();
    const here = left.lead('stock', 1, 21);
    here.refusal = stock.refusal = { reason: 'OVERLOADED', message: 'full', retryAfterMs: 100 };
    const [near, far] = [branchOf(ATTEMPT, 1), branchOf(ATTEMPT, 0)];
    left.links.toParticipant(prepareOf(near));
    expect(coordinator.messages).toMatchObject([{ type: 'undelivered', branch: near, failure: { reason: 'OVERLOADED', retryAfterMs: 100 } }]);
    left.links.toParticipant(prepareOf(far));
    await until(() => coordinator.messages.length === 2);
    expect(coordinator.messages[1]).toMatchObject({ type: 'undelivered', branch: far, failure: { reason: 'OVERLOADED' } });
    expect(right.logs.filter(({ message }) => message.includes('failed'))).toEqual([]);
  });

  it('P5 nothing that is addressed to a participant reaches a coordinator partition, which a later epoch would depose', async () => {
    const { left, coordinator } = await openPair();
    const branch = branchOf({ epoch: 999, counter: 1 }, 0, 'coordinator');
    const refused = { type: 'undelivered', branch, failure: { reason: 'UNKNOWN_PARTICIPANT' } };
    const client = new grpc.Client(left.address, grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const asIs = (bytes: Buffer): Buffer => bytes;
    const stream = client.makeBidiStreamRequest(ParticipantServiceService.exchange.path, asIs, asIs);
    const answers: ToCoordinator[] = [];
    stream.on('data', (bytes: Buffer) => answers.push(...decodeResponseFrame(bytes).messages)).on('error', () => undefined);
    stream.write(encodeRequestFrame({ clusterId: CLUSTER, marks: [], messages: [{ type: 'commit', branch }] }, 0));
    await until(() => answers.length === 1);
    expect(answers).toMatchObject([refused]);
    stream.cancel();
    expect(coordinator.messages).toEqual([]);
    left.links.toParticipant({ type: 'commit', branch });
    expect(coordinator.messages).toMatchObject([refused]);
  });

  it('a message to a replica that is gone comes back, and the link finds it again where it starts anew', async () => {
    const { view, left, right, coordinator } = await openPair();
    await right.server.close(0);
    await until(() => left.logs.some(({ message }) => message === 'link down'));
    left.links.toParticipant({ type: 'commit', branch: branchOf(ATTEMPT) });
    await until(() => coordinator.messages.length === 1);
    expect(coordinator.messages[0]).toMatchObject({ type: 'undelivered', failure: { retryAfterMs: 100 } });
    // Elsewhere.
    view.members.delete(right.address);
    const anew = await openReplica(view);
    const stock = anew.lead('stock', 0, 30);
    left.links.toParticipant({ type: 'commit', branch: branchOf(ATTEMPT) });
    await until(() => stock.messages.length === 1);
    // At the same address.
    await anew.server.close(0);
    const again = await openReplica(view, { port: Number(anew.address.split(':')[1]) });
    const stockAgain = again.lead('stock', 0, 40);
    await until(() => {
      left.links.toParticipant({ type: 'commit', branch: branchOf(ATTEMPT) });
      return stockAgain.messages.length > 0;
    });
  });

  it('marks reach every participant partition once each, also those that begin later', async () => {
    const { left, right, stock } = await openPair();
    const marks = () => stock.heard.filter(({ command }) => command.type === 'mark').map(({ command }) => command);
    expect(marks()).toEqual([{ type: 'mark', coordinatorPartition: 0, lowWaterMark: { epoch: 10, counter: 1 } }]);
    left.links.mark({ coordinatorPartition: 0, lowWaterMark: { epoch: 10, counter: 7 } });
    left.links.mark({ coordinatorPartition: 0, lowWaterMark: { epoch: 10, counter: 5 } });
    await until(() => marks().length === 2);
    expect(marks()[1]).toEqual({ type: 'mark', coordinatorPartition: 0, lowWaterMark: { epoch: 10, counter: 7 } });
    const later = right.lead('stock', 1, 50);
    await until(() => later.heard.length === 1);
    expect(later.heard[0]).toMatchObject({ command: { type: 'mark', lowWaterMark: { counter: 7 } }, priority: 'control' });
  });

  it('marks of a partition that is led here no more are not sent', async () => {
    const { view, left, right, stock } = await openPair();
    left.forget('coordinator', 0);
    left.links.mark({ coordinatorPartition: 0, lowWaterMark: { epoch: 10, counter: 9 } });
    const other = left.lead('coordinator', 1, 11);
    await until(() => stock.heard.some(({ command }) => command.type === 'mark' && command.coordinatorPartition === 1));
    expect(stock.heard).toHaveLength(2);
    expect([view.members.size, right.logs.length, other.heard.length]).toEqual([2, 0, 0]);
  });

  it('answers follow the coordinator partition to its latest leader', async () => {
    const { view, left, right, stock, coordinator } = await openPair();
    const successor = await openReplica(view);
    const next = successor.lead('coordinator', 0, 60);
    await until(() => stock.heard.some(({ command }) => command.type === 'mark' && command.lowWaterMark.epoch === 60));
    // The deposed leader is still connected, and still speaks.
    left.links.mark({ coordinatorPartition: 0, lowWaterMark: { epoch: 10, counter: 8 } });
    left.links.toParticipant({ type: 'pending', branch: branchOf(ATTEMPT) });
    await until(() => stock.messages.length === 1);
    const branch = branchOf(ATTEMPT);
    right.links.toCoordinator({ type: 'inquire', branch });
    await until(() => next.messages.length === 1);
    expect(next.messages).toEqual([{ type: 'inquire', branch }]);
    expect(coordinator.messages).toEqual([]);
  });

  it('an inquiry and an enlistment find a leader from which no stream has come', async () => {
    const view = new TestView();
    const { server } = openServer();
    const asked: unknown[] = [];
    server.add(CoordinatorServiceService, {
      inquire: async (request: unknown) => { asked.push(request); return { outcome: Outcome.COMMITTED }; },
      enlist: async (request: EnlistRequest) => {
        asked.push(request);
        if (request.epoch === 99) throw new FailureError({ reason: 'WRONG_ATTEMPT', message: 'late' });
        return {};
      },
    } as unknown as Handlers<typeof CoordinatorServiceService>);
    const address = `127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
    view.leaders.set('coordinator/0', { replica: 'r', address, epoch: 10 });
    const right = await openReplica(view);
    const stock = right.lead('stock', 0, 20);
    const branch = branchOf(ATTEMPT);
    right.links.toCoordinator({ type: 'inquire', branch });
    await until(() => stock.messages.length === 1);
    right.links.toCoordinator({ type: 'enlist', branch, epoch: 20 });
    await until(() => stock.messages.length === 2);
    right.links.toCoordinator({ type: 'enlist', branch, epoch: 99 });
    await until(() => stock.messages.length === 3);
    expect(stock.messages).toMatchObject([
      { type: 'commit', branch },
      { type: 'enlistAnswer', branch },
      { type: 'enlistAnswer', branch, refusal: { reason: 'WRONG_ATTEMPT' } },
    ]);
    const { coordinatorPartition: _, ...named } = branch;
    expect(asked).toMatchObject([branch, { ...named, epoch: 20 }, { ...named, epoch: 99 }]);
  });

  it('a stream of another cluster is refused, and what it was to carry comes back', async () => {
    const view = new TestView();
    const left = await openReplica(view, { clusterId: '0198c0de-0000-4000-8000-00000000ffff' });
    const right = await openReplica(view);
    const stock = right.lead('stock', 0, 20);
    const coordinator = left.lead('coordinator', 0, 10);
    left.links.toParticipant(prepareOf(branchOf(ATTEMPT)));
    await until(() => coordinator.messages.length === 1);
    expect(coordinator.messages[0]).toMatchObject({ type: 'undelivered', failure: { reason: 'FOREIGN_CLUSTER' } });
    expect(stock.heard).toEqual([]);
  });

  it('a malformed frame ends its stream INVALID_ARGUMENT, and nothing of it is done', async () => {
    const view = new TestView();
    const right = await openReplica(view);
    const stock = right.lead('stock', 0, 20);
    const client = new grpc.Client(right.address, grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const valid = encodeRequestFrame({ clusterId: CLUSTER, marks: [], messages: [{ type: 'commit', branch: branchOf(ATTEMPT) }] }, 0);
    const noBranch = Buffer.concat([valid, Buffer.from([26, 0])]);
    const notText = Buffer.concat([valid, Buffer.from([10, 1, 0xff])]);
    for (const bytes of [noBranch, notText, valid.subarray(0, -1), Buffer.from([0xff])]) {
      const asIs = (b: Buffer): Buffer => b;
      const stream = client.makeBidiStreamRequest(ParticipantServiceService.exchange.path, asIs, asIs).resume();
      stream.write(bytes);
      const error = await new Promise<grpc.ServiceError>((resolve) => stream.on('error', (e) => resolve(e as grpc.ServiceError)));
      expect(error.code).toBe(grpc.status.INVALID_ARGUMENT);
      expect(serviceErrorToFailure(error).reason).toBe('MALFORMED_MESSAGE');
    }
    expect(stock.messages).toEqual([]);
  });

  it('an external participant without Exchange is served by plain calls', async () => {
    const view = new TestView();
    const asked: string[] = [];
    let prepared: PrepareRequest | undefined;
    const refuse = { value: false };
    const plain = new grpc.Server();
    onTestFinished(() => plain.forceShutdown());
    const { exchange: _, ...withoutExchange } = ParticipantServiceService;
    plain.addService(withoutExchange as unknown as grpc.ServiceDefinition, {
      prepare: (call: grpc.ServerUnaryCall<PrepareRequest, unknown>, callback: grpc.sendUnaryData<unknown>) => {
        asked.push('prepare');
        prepared = call.request;
        if (refuse.value) callback({ code: grpc.status.INVALID_ARGUMENT, details: 'no' });
        else callback(null, { vote: Vote.YES, cause: undefined });
      },
      commit: (_call: unknown, callback: grpc.sendUnaryData<unknown>) => { asked.push('commit'); callback(null, { heuristic: 2 }); },
      abort: (_call: unknown, callback: grpc.sendUnaryData<unknown>) => callback({ code: grpc.status.UNAVAILABLE, details: 'busy' }),
    });
    const port = await new Promise<number>((resolve) => plain.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (_e, p) => resolve(p)));
    const left = await openReplica(view);
    const coordinator = left.lead('coordinator', 0, 10);
    view.externals.set('bank', { name: 'bank', registrationId: 'r', address: `127.0.0.1:${port}` });
    view.changed();
    const branch = branchOf(ATTEMPT, 0, 'bank');
    left.links.toParticipant(prepareOf(branch, [operation('pay')]));
    await until(() => coordinator.messages.length === 1);
    expect(prepared).toMatchObject({
      branch: { clusterId: CLUSTER, transactionId: branch.transactionId, attempt: ATTEMPT },
      lowWaterMark: { epoch: 10, counter: 1 },
    });
    left.links.toParticipant({ type: 'commit', branch });
    await until(() => coordinator.messages.length === 2);
    left.links.toParticipant({ type: 'abort', branch });
    await until(() => coordinator.messages.length === 3);
    refuse.value = true;
    left.links.toParticipant(prepareOf(branch));
    await until(() => coordinator.messages.length === 4);
    expect(coordinator.messages).toMatchObject([
      { type: 'vote', vote: 'yes' },
      { type: 'acknowledge', heuristic: 'abort' },
      { type: 'undelivered' },
      { type: 'vote', vote: 'no', cause: { message: 'no' } },
    ]);
    expect(asked).toEqual(['prepare', 'commit', 'prepare']);
  });

  it('prepares that wait at an external participant keep out no outcome, which may free their locks', async () => {
    const view = new TestView();
    const plain = new grpc.Server();
    onTestFinished(() => plain.forceShutdown());
    const { exchange: _, ...withoutExchange } = ParticipantServiceService;
    const waiting: grpc.sendUnaryData<unknown>[] = [];
    plain.addService(withoutExchange as unknown as grpc.ServiceDefinition, {
      prepare: (_call: unknown, callback: grpc.sendUnaryData<unknown>) => void waiting.push(callback),
      commit: (_call: unknown, callback: grpc.sendUnaryData<unknown>) => {
        callback(null, { heuristic: 0 });
        for (const each of waiting) each(null, { vote: Vote.YES, cause: undefined });
      },
    });
    const port = await new Promise<number>((resolve) => plain.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (_e, p) => resolve(p)));
    const left = await openReplica(view, { settings: { callsInFlight: 2 } });
    const coordinator = left.lead('coordinator', 0, 10);
    view.externals.set('bank', { name: 'bank', registrationId: 'r', address: `127.0.0.1:${port}` });
    view.changed();
    const prepare = () => left.links.toParticipant(prepareOf(branchOf(ATTEMPT, 0, 'bank')));
    prepare();
    await until(() => waiting.length === 1);
    prepare();
    await until(() => waiting.length === 2);
    prepare();
    await until(() => coordinator.messages.length === 1);
    expect(coordinator.messages[0]).toMatchObject({ type: 'undelivered', failure: { reason: 'OVERLOADED' } });
    left.links.toParticipant({ type: 'commit', branch: branchOf(ATTEMPT, 0, 'bank') });
    await until(() => coordinator.messages.length === 4);
    expect(coordinator.messages.slice(1).map(({ type }) => type).sort()).toEqual(['acknowledge', 'vote', 'vote']);
  });

  it('what waits when links are closed comes back', async () => {
    const { left, coordinator } = await openPair();
    left.links.toParticipant(prepareOf(branchOf(ATTEMPT)));
    left.links.close();
    expect(coordinator.messages).toMatchObject([{ type: 'undelivered' }]);
  });

  it('a link that is full gives back what it has no room for, and loses nothing', async () => {
    const view = new TestView();
    const left = await openReplica(view, { settings: { bufferMessages: 10 } });
    const right = await openReplica(view);
    const stock = right.lead('stock', 0, 20);
    const coordinator = left.lead('coordinator', 0, 10);
    for (let i = 0; i < 25; i++) left.links.toParticipant(prepareOf(branchOf(ATTEMPT)));
    await until(() => stock.messages.length === 10);
    expect(coordinator.messages).toHaveLength(15);
    expect(coordinator.messages[0]).toMatchObject({ type: 'undelivered', failure: { reason: 'OVERLOADED' } });
  });

  it('ten thousand messages of a turn and a value of a megabyte arrive, each once and in order', async () => {
    const { left, stock } = await openPair();
    const big = prepareOf(branchOf(ATTEMPT), [{ typeUrl: 'x', value: new Uint8Array(1_000_000).fill(0x61) }]);
    const branches = Array.from({ length: 10_000 }, () => branchOf(ATTEMPT));
    left.links.toParticipant(big);
    for (const branch of branches) left.links.toParticipant({ type: 'commit', branch });
    await until(() => stock.messages.length === 10_001);
    const commits = stock.messages.filter(({ type }) => type === 'commit');
    expect(commits.map(({ branch }) => branch)).toEqual(branches);
  });
});

describe('outbox', () => {
  it('control goes before work, and frames stay within their bound', () => {
    const outbox = new Outbox({ bufferMessages: 100, bufferBytes: 1e6, frameBytes: 1000 });
    const sequence: string[] = [];
    for (let i = 0; i < 6; i++) {
      outbox.add(prepareOf(branchOf(ATTEMPT), [operation('x'.repeat(400))]));
      outbox.add({ type: 'commit', branch: branchOf(ATTEMPT) });
    }
    while (outbox.length > 0) {
      const frame = outbox.take();
      expect(frame.length).toBeLessThanOrEqual(3);
      sequence.push(...frame.map(({ type }) => type));
    }
    expect(sequence).toEqual([...Array<string>(6).fill('commit'), ...Array<string>(6).fill('prepare')]);
  });

  it('work that fills it keeps no control out', () => {
    const outbox = new Outbox({ bufferMessages: 2, bufferBytes: 2000, frameBytes: 1000 });
    while (outbox.add(prepareOf(branchOf(ATTEMPT), [operation('x'.repeat(600))])));
    expect(outbox.add({ type: 'commit', branch: branchOf(ATTEMPT) })).toBe(true);
    expect(outbox.take().map(({ type }) => type)).toEqual(['commit']);
  });

  it('a message larger than a frame goes alone', () => {
    const outbox = new Outbox({ bufferMessages: 100, bufferBytes: 1e6, frameBytes: 1000 });
    outbox.add(prepareOf(branchOf(ATTEMPT), [operation('x'.repeat(5000))]));
    outbox.add(prepareOf(branchOf(ATTEMPT), [operation('x')]));
    expect([outbox.take().length, outbox.take().length, outbox.length]).toEqual([1, 1, 0]);
  });

  it('has room for so many messages and bytes and no more', () => {
    const outbox = new Outbox({ bufferMessages: 2, bufferBytes: 2000, frameBytes: 1000 });
    expect(outbox.add(prepareOf(branchOf(ATTEMPT), [operation('x'.repeat(3000))]))).toBe(false);
    const commit = () => outbox.add({ type: 'commit', branch: branchOf(ATTEMPT) });
    expect([commit(), commit(), commit()]).toEqual([true, true, false]);
  });
});
