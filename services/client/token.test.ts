import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { ClusterServiceService } from '../gen/txmesh/cluster/v1/cluster.ts';
import { systemClock } from '../runtime/clock.ts';
import { failureToServiceError } from '../runtime/errors/status.ts';
import { STREAM_EXPIRED, TOKEN_EXPIRED } from '../runtime/security/tokens.ts';
import { connect, NotAuthenticated } from './index.ts';
import { TestEnvironment } from './testing/test-environment.ts';
import { TOKEN_RETRY_MS, TokenSource, type Token } from './token-source.ts';

const jwt = (expiresInMs: number, name = ''): string =>
  `x.${Buffer.from(JSON.stringify({ name, exp: Math.floor((Date.now() + expiresInMs) / 1000) })).toString('base64url')}.y`;

describe('a source of tokens', () => {
  test('asks once for many, and again before the token expires', async () => {
    let nowMs = Date.now();
    let made = 0;
    const source = new TokenSource(async () => jwt(600_000 + nowMs - Date.now(), String(++made)), { ...systemClock, nowMs: () => nowMs });
    const [one, same] = await Promise.all([source.get(), source.get()]);
    expect(same).toBe(one);
    nowMs += 560_000;
    expect(await source.get()).toBe(one);
    nowMs += 15_000;
    expect(await source.get()).not.toBe(one);
    expect(made).toBe(2);
  });

  test('asks again when the server does not take the token', async () => {
    const answers = ['a', 'b'];
    const source = new TokenSource(() => answers.shift()!, systemClock);
    expect(await source.get()).toBe('a');
    source.forget('other');
    expect(await source.get()).toBe('a');
    source.forget('a');
    expect(await source.get()).toBe('b');
  });

  test('asks again after an error, but not without rest', async () => {
    const clock = new TestEnvironment().clock;
    let nowMs = 0;
    let asked = 0;
    const source = new TokenSource(
      () => {
        if (++asked === 1) throw new Error('no');
        return 'b';
      },
      { ...clock, monotonicMs: () => nowMs },
    );
    for (let call = 0; call < 100; call++) await expect(source.get()).rejects.toThrow('no');
    expect(asked).toBe(1);
    nowMs += TOKEN_RETRY_MS;
    expect(await source.get()).toBe('b');
    expect(asked).toBe(2);
  });

  test('does not wait for ever for a function that does not answer', async () => {
    const environment = new TestEnvironment();
    let asked = 0;
    const source = new TokenSource(() => (++asked === 1 ? new Promise<string>(() => undefined) : 'b'), environment.clock);
    const first = expect(source.get()).rejects.toThrow('has not answered within 30000 ms');
    environment.advance(30_000);
    await first;
    environment.advance(TOKEN_RETRY_MS);
    expect(await source.get()).toBe('b');
  });

  test('does not take what would be no header', async () => {
    await expect(new TokenSource(() => 'a b', systemClock).get()).rejects.toThrow('returned none');
  });
});

describe('a connection with a token', () => {
  const servers: grpc.Server[] = [];
  afterEach(() => servers.splice(0).forEach((server) => server.forceShutdown()));

  /** Watches of the cluster and questions for it, with what they showed. */
  async function clusterServer(answer: (call: grpc.ServerWritableStream<unknown, unknown>, shown: unknown) => void): Promise<string> {
    const server = new grpc.Server();
    servers.push(server);
    server.addService(
      { watchCluster: ClusterServiceService.watchCluster },
      { watchCluster: ((call) => answer(call, call.metadata.get('authorization')[0])) as grpc.handleServerStreamingCall<unknown, unknown> },
    );
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error))),
    );
    return `127.0.0.1:${port}`;
  }

  const open = (address: string, token: Token) => {
    const mesh = connect({ addresses: [address], token, timeoutMs: 10_000 });
    onTestFinished(() => mesh.close());
    return mesh;
  };

  test('opens a stream again with a new token when the one of the stream has expired', async () => {
    const shown: unknown[] = [];
    const address = await clusterServer((call, token) => {
      shown.push(token);
      if (shown.length === 1) call.emit('error', failureToServiceError(STREAM_EXPIRED) as Error);
      else call.write({ cluster: { clusterId: 'x', hash: 'fnv1a-32', services: [] } });
    });
    let made = 0;
    await open(address, () => `token${++made}`).ready();
    expect(shown).toEqual(['Bearer token1', 'Bearer token2']);
  });

  test('fails where the server does not take the token', async () => {
    const address = await clusterServer((call) => call.emit('error', failureToServiceError(TOKEN_EXPIRED) as Error));
    const failed = open(address, 'old').ready();
    await expect(failed).rejects.toBeInstanceOf(NotAuthenticated);
    await expect(failed).rejects.toMatchObject({ reason: 'TOKEN_EXPIRED' });
  });

  test('does not send a token to who is elsewhere without TLS', async () => {
    await expect(open('192.0.2.1:50051', 'secret').ready()).rejects.toThrow('is not sent to 192.0.2.1:50051 without TLS');
  });
});
