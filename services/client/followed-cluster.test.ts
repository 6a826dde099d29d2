import type * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { FakeMesh } from '../../test/support/fake-mesh.ts';
import { failureToServiceError } from '../runtime/errors/status.ts';
import { DeadlineExceeded, FailedPrecondition, PermissionDenied } from './errors.ts';
import { FollowedCluster } from './followed-cluster.ts';
import { Mesh } from './mesh.ts';
import { settingsFrom, systemEnvironment } from './options.ts';
import { Rpc } from './rpc.ts';
import { TestEnvironment, until } from './testing/test-environment.ts';
import type { Token } from './token-source.ts';

type Watch = grpc.ServerWritableStream<unknown, unknown>;

const DENIED = failureToServiceError({ reason: 'PERMISSION_DENIED', message: 'no rule lets you see the cluster' }) as Error;

let fake: FakeMesh;
afterEach(() => {
  fake.stop();
  vi.restoreAllMocks();
});

/** A fake mesh whose answer to the watch number n, from 1 on, is the test's. */
async function start(answer: (stream: Watch, opened: number) => void): Promise<void> {
  let opened = 0;
  fake = await FakeMesh.start({ watchCluster: ((stream: Watch) => answer(stream, ++opened)) as never });
}

function follow({ token, environment = new TestEnvironment() }: { readonly token?: Token; readonly environment?: TestEnvironment } = {}) {
  const rpc = new Rpc(settingsFrom({ addresses: [fake.address], ...(token !== undefined && { token }) }), environment);
  onTestFinished(() => rpc.close());
  const cluster = new FollowedCluster(rpc, () => []);
  return { rpc, ready: (timeoutMs = 20_000) => cluster.ready(rpc.deadline('connecting', { timeoutMs })) };
}

const mapOf = (clusterId: string) => ({ cluster: { ...fake.cluster(), clusterId } });

describe('the map of a cluster', () => {
  test('is followed on after a refusal, with one warning', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue();
    await start((stream, opened) => {
      if (opened === 1) stream.write(mapOf('first'));
      if (opened <= 3) stream.emit('error', DENIED);
      else stream.write(mapOf('second'));
    });
    const { rpc } = follow();
    await until(() => rpc.map.clusterId === 'second');
    expect(warned.mock.calls).toEqual([[expect.stringContaining('no rule lets you see the cluster'), 'TxmeshWarning']]);
  });

  test('is followed on when the token for a new stream does not come at once', async () => {
    await start((stream, opened) => {
      stream.write(mapOf(`map ${opened}`));
      if (opened === 1) stream.emit('error', { code: 14, details: 'going away' });
    });
    let asked = 0;
    const { rpc, ready } = follow({
      token: async () => {
        if (++asked > 1 && asked < 4) throw new Error('the issuer is away');
        // One that does not say how long it lasts would be used for the next stream too.
        return `x.${Buffer.from(JSON.stringify({ exp: 1 })).toString('base64url')}.y`;
      },
    });
    await ready();
    await until(() => rpc.map.clusterId === 'map 2');
    expect(asked).toBe(4);
  });
});

describe('who waits for the first map', () => {
  test('hears of a refusal, and finds the map when there is a right to it', async () => {
    let isRight = false;
    await start((stream) => (isRight ? stream.write(mapOf('c')) : stream.emit('error', DENIED)));
    const mesh = new Mesh({ addresses: [fake.address] }, new TestEnvironment());
    onTestFinished(() => mesh.close());
    await expect(mesh.ready()).rejects.toBeInstanceOf(PermissionDenied);
    await expect(mesh.transaction(async () => 1)).rejects.toBeInstanceOf(PermissionDenied);
    isRight = true;
    await mesh.ready().catch(() => undefined); // It may still hear of the try before.
    await mesh.ready();
    expect(await mesh.transaction(async () => 1)).toBe(1);
  });

  test('hears that the cluster routes in a way that is not known here', async () => {
    await start((stream, opened) => stream.write({ cluster: { ...fake.cluster(), ...(opened === 1 && { hash: 'other' }) } }));
    const { ready } = follow();
    await expect(ready()).rejects.toBeInstanceOf(FailedPrecondition);
    await ready();
  });

  test('hears at the deadline which servers were not reached, and why', async () => {
    await start(() => undefined);
    const environment = new TestEnvironment();
    const { rpc, ready } = follow({ environment, token: () => Promise.reject(new Error('the issuer is away')) });
    const called = ready(20_000);
    const ended = expect(called).rejects.toMatchObject({
      constructor: DeadlineExceeded,
      message: expect.stringMatching(new RegExp(`^none of ${fake.address} could be reached in time; the last try: there is no token: the issuer is away$`)),
    });
    await until(() => environment.delays.length > 1);
    environment.advance(20_000);
    await ended;
    expect(rpc.closed.aborted).toBe(false);
  });

  test('ends when the connection is closed', async () => {
    await start(() => undefined);
    const mesh = new Mesh({ addresses: [fake.address] }, systemEnvironment);
    const called = mesh.ready();
    mesh.close();
    await expect(called).rejects.toThrow('the connection to the mesh was closed');
  });
});
