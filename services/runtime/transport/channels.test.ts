import dns from 'node:dns';
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
