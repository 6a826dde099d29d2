/** The service config that plain gRPC clients are given: it names what there is, and a client that uses it survives a replica's death. */

import { readFileSync } from 'node:fs';
import { connect as connectSocket, createServer, type AddressInfo, type Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { newTransactionId, put } from 'txmesh/client';
import { ClusterServiceService } from '../../services/gen/txmesh/cluster/v1/cluster.ts';
import { CoordinatorServiceService } from '../../services/gen/txmesh/coordinator/v1/coordinator.ts';
import { CounterServiceService } from '../../services/gen/txmesh/counter/v1/counter.ts';
import { KeyValueServiceService as KeyValue } from '../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';
import { ParticipantServiceService } from '../../services/gen/txmesh/participant/v1/participant.ts';
import { QueueServiceService } from '../../services/gen/txmesh/queue/v1/queue.ts';
import { startMesh } from '../../services/runtime/router/testing/nodes.ts';
import { plainGet } from './support/plain-get.ts';
import { until } from './support/until.ts';

const WRITES = 8;
const BOUND_MS = 30_000;

const text = readFileSync(new URL('../../proto/txmesh/service-config.json', import.meta.url), 'utf8');
const config = JSON.parse(text) as {
  readonly loadBalancingConfig: readonly { readonly outlier_detection: Readonly<Record<string, unknown>> }[];
  readonly methodConfig: readonly { readonly name: readonly { service: string; method: string }[]; readonly hedgingPolicy?: object; readonly retryPolicy?: object }[];
};

const paths = new Set(
  [ClusterServiceService, CoordinatorServiceService, CounterServiceService, KeyValue, ParticipantServiceService, QueueServiceService]
    .flatMap((definition) => Object.values(definition as grpc.ServiceDefinition))
    .filter(({ requestStream, responseStream }) => !requestStream && !responseStream)
    .map(({ path }) => path),
);
const named = (policy: 'hedgingPolicy' | 'retryPolicy'): string[] =>
  config.methodConfig.filter((each) => each[policy] !== undefined).flatMap(({ name }) => name.map(({ service, method }) => `/${service}/${method}`));

describe('the service config', () => {
  test('hedges every unary read and nothing else, and repeats only what is the same when it is repeated', () => {
    const reads = [...paths].filter((path) => /\/(Get|BatchGet|List|Scan)/.test(path));
    expect(named('hedgingPolicy').sort()).toEqual(reads.sort());
    for (const path of named('retryPolicy')) expect(paths).toContain(path);
    for (const changing of ['Execute', 'Put', 'Delete', 'Publish', 'Add', 'Pull'])
      expect(named('retryPolicy').filter((path) => path.endsWith(`/${changing}`))).toEqual([]);
  });

  test('says how to balance as gRPC does, and the same as grpc-js wants to read it', () => {
    const [policy] = config.loadBalancingConfig.map((each) => each.outlier_detection);
    const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const forGrpcJs = (value: unknown): unknown => {
      if (typeof value === 'string') return { seconds: Number(value.replace('s', '')), nanos: 0 };
      if (Array.isArray(value) || typeof value !== 'object') return value;
      return Object.fromEntries(Object.entries(value!).map(([name, each]) => [snakeCase(name), each]));
    };
    const canonical = Object.entries(policy!).filter(([name]) => snakeCase(name) !== name);
    expect(canonical).toHaveLength(5);
    for (const [name, value] of canonical) expect(policy![snakeCase(name)], name).toEqual(forGrpcJs(value));
  });

  test('with it a plain client does not notice that a replica falls silent and dies', async () => {
    const mesh = await startMesh({ partitions: 1, leaseTtlMs: 10_000 }, 1);
    onTestFinished(() => mesh.close());
    // The second leads nothing, so that nobody has to take over from it.
    const second = await mesh.add({ coordinator: false, participants: [] });
    await second.ready();
    const dying = new Wire(second.port);
    const client = new grpc.Client(`ipv4:${mesh.nodes[0]!.address},127.0.0.1:${await dying.listen()}`, grpc.credentials.createInsecure(), {
      'grpc.service_config': text,
      'grpc.use_local_subchannel_pool': 1,
    });
    onTestFinished(() => client.close());
    // A call each time at another replica, until both are connected.
    await until('both are called', BOUND_MS, async () => {
      await plainGet(client);
      // More than the two ends tell each other before the first call.
      return dying.heard > 10;
    });
    dying.fallSilent();
    let written = 0;
    const writes = Array.from({ length: WRITES }, (_, i) => writeLocally(client, `${i}`).then(() => written++));
    // One of two goes to the silent replica; of its hedges, in turn, at least one does not.
    const reads = [plainGet(client), plainGet(client)];
    const all = Promise.allSettled([...writes, ...reads]);
    // Reads need not wait for the silent replica; its share of the writes does.
    await Promise.all(reads);
    await until('every write that can is made', BOUND_MS, () => written >= WRITES / 2);
    expect(written).toBeLessThan(WRITES);
    dying.die();
    expect((await all).filter(({ status }) => status === 'rejected')).toEqual([]);
  });
});

function writeLocally(client: grpc.Client, key: string): Promise<void> {
  const { path, requestSerialize, responseDeserialize } = KeyValue.executeLocal;
  const request = { transactionId: newTransactionId(), operations: [put('inventory', 'c', key, 'v')] };
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize as (value: unknown) => Buffer, responseDeserialize, request, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** A way to a port that can fall silent, and break as when the process there is killed: connections are reset, nobody listens any more. */
class Wire {
  private readonly server = createServer((from) => this.connect(from));
  private readonly sockets = new Set<Socket>();
  private readonly to: number;
  private silent = false;
  /** How often something was said there. */
  heard = 0;

  constructor(to: number) {
    this.to = to;
    onTestFinished(() => this.die());
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return (this.server.address() as AddressInfo).port;
  }

  /** What is said there does not arrive any more. */
  fallSilent(): void {
    this.silent = true;
  }

  die(): void {
    this.server.close();
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  private connect(from: Socket): void {
    const onward = connectSocket(this.to, '127.0.0.1');
    for (const [socket, other] of [[from, onward], [onward, from]] as const) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
    from.pipe(onward);
    onward.on('data', (chunk) => {
      this.heard++;
      if (!this.silent) from.write(chunk);
    });
  }
}
