import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { FakeMesh } from '../../test/support/fake-mesh.ts';
import { ClusterServiceService } from '../gen/txmesh/cluster/v1/cluster.ts';
import { Cancelled, DeadlineExceeded, NotAuthenticated } from './errors.ts';
import { connect, put } from './index.ts';
import { settingsFrom, systemEnvironment } from './options.ts';
import { Rpc } from './rpc.ts';
import type { Token } from './token-source.ts';

let fake: FakeMesh | undefined;
afterEach(() => {
  fake?.stop();
  fake = undefined;
});

/** A connection to a fake mesh, or to who is elsewhere. */
async function rpcWith(token: Token, address?: string): Promise<Rpc> {
  if (address === undefined) address = (fake = await FakeMesh.start()).address;
  const rpc = new Rpc(settingsFrom({ addresses: [address], token }), systemEnvironment);
  onTestFinished(() => rpc.close());
  return rpc;
}

const ELSEWHERE = '192.0.2.1:50051';
const silent = (): Promise<string> => new Promise(() => undefined);
const getCluster = ClusterServiceService.getCluster;

describe('a call whose token does not come', () => {
  test('ends at its deadline, and says why', async () => {
    const rpc = await rpcWith(silent);
    const error = await rpc.call(getCluster, {}, { timeoutMs: 200 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeadlineExceeded);
    expect(error).toMatchObject({ message: expect.stringContaining('there is no token: its function has not answered yet') });
  });

  test('ends when its signal fires', async () => {
    const rpc = await rpcWith(silent);
    const controller = new AbortController();
    const called = rpc.call(getCluster, {}, { timeoutMs: 60_000, signal: controller.signal });
    setImmediate(() => controller.abort(new Error('enough')));
    await expect(called).rejects.toBeInstanceOf(Cancelled);
  });

  test('is not sent, so a change was surely not made', async () => {
    const rpc = await rpcWith(silent);
    const changed = rpc.call(getCluster, {}, { timeoutMs: 200, transactionId: 'some' });
    await expect(changed).rejects.toBeInstanceOf(DeadlineExceeded);
  });

  test('is tried again when the function has failed', async () => {
    let asked = 0;
    const rpc = await rpcWith(async () => {
      if (++asked === 1) throw new Error('the issuer is away');
      return 'token';
    });
    expect((await rpc.call(getCluster, {}, { timeoutMs: 20_000 })).cluster).toBeDefined();
    expect(asked).toBe(2);
  });

  test('is tried again on a stream too', async () => {
    fake = await FakeMesh.start();
    let asked = 0;
    const mesh = connect({
      addresses: [fake.address],
      token: async () => {
        if (++asked === 1) throw new Error('the issuer is away');
        return 'token';
      },
    });
    onTestFinished(() => mesh.close());
    const outcome = await mesh.execute({ operations: [put('payments', 'accounts', 'alice', '1')], timeoutMs: 20_000 });
    expect(outcome.committed).toBe(true);
  });
});

describe('a connection that would show its token to anybody', () => {
  test.each([undefined, AbortSignal.timeout(60_000)])('refuses calls, with a signal or without', async (signal) => {
    const rpc = await rpcWith('secret', ELSEWHERE);
    const refused = rpc.call(getCluster, {}, { ...(signal && { signal }) });
    await expect(refused).rejects.toBeInstanceOf(NotAuthenticated);
    await expect(refused).rejects.toThrow(`a token is not sent to ${ELSEWHERE} without TLS`);
  });

  test('refuses what goes over streams: none of it was executed', async () => {
    const mesh = connect({ addresses: [ELSEWHERE], token: 'secret' });
    onTestFinished(() => mesh.close());
    const queue = mesh.queue();
    const refused = await Promise.all(
      [
        mesh.execute({ operations: [put('payments', 'accounts', 'alice', '1')] }),
        queue.publish('orders', 'first'),
        queue.publish('orders', 'second'),
        mesh.counter('clicks').add(1),
        mesh.ready(),
      ].map((each: Promise<unknown>) => each.catch((error: unknown) => error)),
    );
    for (const error of refused) expect(error).toBeInstanceOf(NotAuthenticated);
  });
});

test('a call that is refused leaves no timer behind', async () => {
  const rpc = await rpcWith('secret', ELSEWHERE);
  const timers = (): number => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
  const before = timers();
  await expect(rpc.call(getCluster, {}, { timeoutMs: 60_000 })).rejects.toBeInstanceOf(NotAuthenticated);
  expect(timers()).toBe(before);
});

