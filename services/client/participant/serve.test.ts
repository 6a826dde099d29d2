import { connect } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { FakeMesh, unary } from '../../../test/support/fake-mesh.ts';
import type { RegisterParticipantRequest } from '../../gen/txmesh/cluster/v1/cluster.ts';
import { ParticipantServiceService, type ListPreparedResponse } from '../../gen/txmesh/participant/v1/participant.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Timer } from '../../runtime/clock.ts';
import { Cancelled, InvalidRequest, PermissionDenied } from '../errors.ts';
import { newTransactionId } from '../ids.ts';
import { systemEnvironment } from '../options.ts';
import type { Branch, ResourceManager } from './resource-manager.ts';
import { serveIn, serveParticipant, type ServeOptions } from './serve.ts';

/** The system's clock, with the timers that wait and would keep the process alive. */
function countedTimers() {
  const waiting = new Set<object>();
  const setTimer = (delayMs: number, call: () => void): Timer => {
    const timer = systemEnvironment.clock.setTimer(delayMs, () => {
      waiting.delete(timer);
      call();
    });
    waiting.add(timer);
    return {
      cancel: () => {
        waiting.delete(timer);
        timer.cancel();
      },
    };
  };
  return { waiting, environment: { ...systemEnvironment, clock: { ...systemEnvironment.clock, setTimer } } };
}

/** Whether somebody listens there. */
function isListenedOn(address: string): Promise<boolean> {
  const [host, port] = address.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

const branch: Branch = { transactionId: newTransactionId(), attempt: { epoch: 1, counter: 1 }, coordinatorPartition: 0, participant: 'ledger', partition: 0 };

class Recorder implements ResourceManager {
  readonly calls: string[] = [];
  prepared: Branch[] = [branch];
  prepare(): 'yes' {
    return 'yes';
  }
  commit(): void {
    this.calls.push('commit');
  }
  abort(): void {
    this.calls.push('abort');
  }
  recover() {
    this.calls.push('recover');
    return { prepared: this.prepared, committed: [], marks: [] };
  }
  forget(): void {
    this.calls.push('forget');
  }
}

let fake: FakeMesh | undefined;
/** Addresses that were to be registered. */
const registered: string[] = [];
afterEach(() => {
  fake?.stop();
  registered.length = 0;
});

/** @param register what the registration number n, from 1 on, is refused with */
async function start(register: (asked: number) => Failure | undefined = () => undefined) {
  let asked = 0;
  const registration = { registrationId: 'r', clusterId: 'c', timeToLive: { seconds: 10n, nanos: 0 } };
  fake = await FakeMesh.start({
    registerParticipant: unary(({ address }: RegisterParticipantRequest) => {
      registered.push(address);
      const failure = register(++asked);
      return failure === undefined ? { response: registration } : { failure };
    }),
    inquire: unary(() => ({ response: { outcome: 2 } })),
  });
  const manager = new Recorder();
  const options: ServeOptions = { name: 'ledger', mesh: fake.address, listen: '127.0.0.1:0', resourceManager: manager };
  return { manager, options };
}

describe('a participant that can’t be started', () => {
  test('leaves nothing running where its address is taken, and has touched no branch', async () => {
    const { manager, options } = await start();
    const { waiting, environment } = countedTimers();
    const refused = serveIn(environment, { ...options, listen: fake!.address });
    await expect(refused).rejects.toBeInstanceOf(InvalidRequest);
    await expect(refused).rejects.toThrow(new RegExp(`^participant ledger can't listen on ${fake!.address}: .*EADDRINUSE.*with the option listen$`));
    expect(manager.calls).toEqual([]);
    await vi.waitUntil(() => waiting.size === 0, { timeout: 10_000 });
  });

  test('leaves nothing running where it may not register', async () => {
    const { manager, options } = await start(() => ({ reason: 'PERMISSION_DENIED', message: 'no rule allows it' }));
    const { waiting, environment } = countedTimers();
    await expect(serveIn(environment, options)).rejects.toBeInstanceOf(PermissionDenied);
    expect(manager.calls).toEqual([]);
    expect(await isListenedOn(registered.at(-1)!)).toBe(false);
    await vi.waitUntil(() => waiting.size === 0, { timeout: 10_000 });
  });

  test('leaves nothing running where its manager can’t recover', async () => {
    const { manager, options } = await start();
    const { waiting, environment } = countedTimers();
    manager.recover = () => {
      throw new Error('the disk is broken');
    };
    await expect(serveIn(environment, options)).rejects.toThrow('the disk is broken');
    expect(await isListenedOn(registered.at(-1)!)).toBe(false);
    await vi.waitUntil(() => waiting.size === 0, { timeout: 10_000 });
  });

  test('is given up when its signal fires', async () => {
    const { manager, options } = await start(() => ({ reason: 'PARTICIPANT_NAME_TAKEN', message: 'taken' }));
    const { waiting, environment } = countedTimers();
    const controller = new AbortController();
    const served = serveIn(environment, { ...options, signal: controller.signal });
    await vi.waitUntil(() => registered.length > 0, { timeout: 10_000 });
    controller.abort(new Error('enough'));
    await expect(served).rejects.toBeInstanceOf(Cancelled);
    await expect(serveParticipant({ ...options, signal: controller.signal })).rejects.toBeInstanceOf(Cancelled);
    expect(manager.calls).toEqual([]);
    expect(await isListenedOn(registered.at(-1)!)).toBe(false);
    await vi.waitUntil(() => waiting.size === 0, { timeout: 10_000 });
  });

  test.each([
    ['listen', { listen: '127.0.0.1' }],
    ['listen', { listen: '127.0.0.1:65536' }],
    ['timeToLiveMs', { timeToLiveMs: NaN }],
    ['timeToLiveMs', { timeToLiveMs: 999 }],
    ['peers', { peers: ['txmesh'] }],
  ])('names the option %s that is wrong', async (field, wrong) => {
    const { options } = await start();
    await expect(serveParticipant({ ...options, ...wrong })).rejects.toMatchObject({ name: 'InvalidRequest', violations: [{ field }] });
  });
});

test('a participant takes up what was stored when it has its name, not before', async () => {
  const last = newTransactionId();
  const { manager, options } = await start((asked) => {
    // Whoever has the name still promises.
    manager.prepared = [{ ...branch, transactionId: asked === 1 ? newTransactionId() : last }];
    return asked === 1 ? { reason: 'PARTICIPANT_NAME_TAKEN', message: 'taken' } : undefined;
  });
  const participant = await serveParticipant(options);
  expect(manager.calls).toEqual(['recover']);
  const { branches } = await listPrepared(participant.address);
  expect(branches.map(({ branch: held }) => held!.transactionId)).toEqual([last]);
  await participant.close(0);
});

test('a participant goes on where onProblem throws', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockReturnValue();
  onTestFinished(() => warned.mockRestore());
  const { options } = await start((asked) => (asked === 1 ? { reason: 'PARTICIPANT_NAME_TAKEN', message: 'taken' } : undefined));
  const onProblem = (): void => {
    throw new Error('the log is full');
  };
  const participant = await serveParticipant({ ...options, onProblem });
  expect(warned).toHaveBeenCalledWith(expect.stringContaining('the log is full'), 'TxmeshWarning');
  await participant.close(0);
});

function listPrepared(address: string): Promise<ListPreparedResponse> {
  const { path, requestSerialize, responseDeserialize } = ParticipantServiceService.listPrepared;
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const { promise, resolve, reject } = Promise.withResolvers<ListPreparedResponse>();
  client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { participant: 'ledger', pageSize: 0, pageToken: '' }, (error, response) => {
    client.close();
    if (error === null) resolve(response!);
    else reject(error);
  });
  return promise;
}
