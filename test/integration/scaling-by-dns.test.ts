/**
 * A plain grpc-js client of a headless Service: one name that leads to every replica, round_robin, and the
 * service config. The name's addresses change as replicas come and go, and nobody tells the client.
 */

import * as grpc from '@grpc/grpc-js';
import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test, vi } from 'vitest';
import { startMesh } from '../../services/runtime/router/testing/nodes.ts';
import { Load } from './support/load.ts';
import { NameServer } from './support/name-server.ts';
import { plainGet } from './support/plain-get.ts';
import { until } from './support/until.ts';

// Read when grpc-js is loaded: it asks the name server that the target names, and not the system's.
vi.hoisted(() => (process.env['GRPC_NODE_USE_ALTERNATIVE_RESOLVER'] = 'true'));

const BOUND_MS = 30_000;
const NAME = 'coordinator-headless.txmesh.svc.cluster.local';
const HOSTS = ['127.0.0.1', '127.0.0.2', '127.0.0.3'] as const;
/** As long as no connection is older, the client need not know of a new replica. */
const MAX_CONNECTION_AGE_MS = 2_000;
const READERS = 4;
/** Answers that are looked at. */
const LAST = 100;

const serviceConfig = readFileSync(new URL('../../proto/txmesh/service-config.json', import.meta.url), 'utf8');

test('a plain client follows a headless Service up, down and to other replicas, takes them in turn, and no call fails', async (context) => {
  if (process.platform !== 'linux') return context.skip('it needs the addresses 127.0.0.x, which only Linux has without asking');
  const mesh = await startMesh({ partitions: 4, leaseTtlMs: 10_000, host: HOSTS[0], server: { maxConnectionAgeMs: MAX_CONNECTION_AGE_MS } });
  onTestFinished(() => mesh.close());
  const [first] = mesh.nodes;
  const { port } = first!;
  const addReplica = async (host: string) => {
    const node = await mesh.add({ host, port });
    await node.ready();
    return node;
  };
  const names = new NameServer(NAME, [HOSTS[0]]);
  const authority = await names.listen();
  onTestFinished(() => names.close());
  const client = new grpc.Client(`dns://${authority}/${NAME}:${port}`, grpc.credentials.createInsecure(), {
    'grpc.service_config': serviceConfig,
    // Half a minute by default, which is little beside a connection's age where it is not a test's.
    'grpc.dns_min_time_between_resolutions_ms': MAX_CONNECTION_AGE_MS / 10,
  });
  onTestFinished(() => client.close());

  const answers: string[] = [];
  const load = new Load();
  onTestFinished(() => load.stop());
  for (let i = 0; i < READERS; i++) load.add(`reads ${i}`, async () => answers.push(await plainGet(client, `${i}`)));
  /** Resolves when these hosts, and no others, answer, each about as often as another. */
  const answeredBy = (...hosts: string[]) =>
    until(`${hosts.join(', ')} answer in turn`, BOUND_MS, () => {
      expect(load.failures).toEqual([]);
      const last = answers.slice(-LAST);
      const shares = hosts.map((host) => last.filter((answer) => answer === `${host}:${port}`).length);
      return last.length === LAST && shares.reduce((sum, share) => sum + share) === LAST && Math.min(...shares) > LAST / hosts.length / 2;
    }, () => `${[...new Set(answers.slice(-LAST))].join(', ')}; asked ${names.asked} times`);

  await answeredBy(HOSTS[0]);
  const second = await addReplica(HOSTS[1]);
  names.addresses = HOSTS.slice(0, 2);
  await answeredBy(...HOSTS.slice(0, 2));
  await addReplica(HOSTS[2]);
  names.addresses = HOSTS;
  await answeredBy(...HOSTS);
  // As Kubernetes does it: the name leads there no more, and the replica ends.
  names.addresses = [HOSTS[0], HOSTS[2]];
  await second.drain(BOUND_MS);
  await answeredBy(HOSTS[0], HOSTS[2]);
  // None of those that it began with.
  names.addresses = [HOSTS[2]];
  await first!.drain(BOUND_MS);
  await answeredBy(HOSTS[2]);
  await load.stop();
  expect(load.failures).toEqual([]);
});
