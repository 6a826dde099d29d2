import dns from 'node:dns';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { expect, test, vi } from 'vitest';
import { GetRequest, GetResponse, KeyValueServiceService as KeyValue } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Handlers } from './service.ts';
import { openChannels, openServer } from './testing/mesh.ts';

const GET = GetRequest.decode(new Uint8Array());
const GOT = GetResponse.decode(new Uint8Array());
const FOLLOWED_WITHIN_MS = 10_000;

test('a replica that comes back under its name at another address is followed in seconds', async (context) => {
  if (process.platform !== 'linux') return context.skip('it needs the addresses 127.0.0.x, which only Linux has without asking');
  let address = '127.0.0.1';
  const lookup = vi.spyOn(dns.promises, 'lookup').mockImplementation((async () => [{ address, family: 4 }]) as never);
  context.onTestFinished(() => lookup.mockRestore());
  const replica = () => {
    const { server } = openServer();
    server.add(KeyValue, { get: async () => GOT } as unknown as Handlers<typeof KeyValue>);
    return server;
  };
  const first = replica();
  const port = await first.listen('127.0.0.1', 0);
  const channels = openChannels();
  const get = () => channels.unary(`replica-0.test:${port}`, KeyValue.get, GET, { deadlineMs: Date.now() + 1_000 });
  await get();

  await first.close(0);
  address = '127.0.0.2';
  await replica().listen('127.0.0.2', port);
  const startMs = performance.now();
  while (!(await get().then(() => true, () => false))) expect(performance.now() - startMs).toBeLessThan(FOLLOWED_WITHIN_MS);
});

test('P8 a connection that does not come about is given up: its call was surely not sent, and the next one begins anew', async (context) => {
  const { server } = openServer();
  server.add(KeyValue, { get: async () => GOT } as unknown as Handlers<typeof KeyValue>);
  const port = await server.listen('127.0.0.1', 0);
  // Leaves the first connection without an answer, and passes on the others.
  let connections = 0;
  const front = createServer((socket) => {
    context.onTestFinished(() => void socket.destroy());
    socket.on('error', () => undefined);
    if (connections++ === 0) return;
    const back = connect(port, '127.0.0.1');
    back.on('error', () => undefined);
    socket.pipe(back).pipe(socket);
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  context.onTestFinished(() => void front.close());
  const channels = openChannels({ connectMs: 200 });
  const get = () => channels.unary(`127.0.0.1:${(front.address() as AddressInfo).port}`, KeyValue.get, GET);
  await expect(get()).rejects.toMatchObject({ failure: { reason: 'NO_LEADER', retryAfterMs: 100 } });
  await expect(get()).resolves.toBeDefined();
  expect(connections).toBe(2);
});
