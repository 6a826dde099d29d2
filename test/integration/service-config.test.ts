/** The service config that plain gRPC clients are given: it names what there is, and a client that uses it survives a replica's death. */

import { readFileSync } from 'node:fs';
import { connect as connectSocket, createServer, type AddressInfo, type Socket } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { newTransactionId, put } from 'txmesh/client';
import { FaultServiceService as faults } from '../../services/gen/txmesh/admin/v1/fault.ts';
import { ClusterServiceService } from '../../services/gen/txmesh/cluster/v1/cluster.ts';
import { CoordinatorServiceService } from '../../services/gen/txmesh/coordinator/v1/coordinator.ts';
import { CounterServiceService } from '../../services/gen/txmesh/counter/v1/counter.ts';
import { KeyValueServiceService as KeyValue } from '../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';
import { ParticipantServiceService } from '../../services/gen/txmesh/participant/v1/participant.ts';
import { QueueServiceService } from '../../services/gen/txmesh/queue/v1/queue.ts';
import type { Node } from '../../services/mesh.ts';
import { startMesh, type Meshed } from '../../services/runtime/router/testing/nodes.ts';
import { Load } from './support/load.ts';
import { plainGet } from './support/plain-get.ts';
import { until } from './support/until.ts';

const WRITES = 8;
const BOUND_MS = 30_000;
const KEY_VALUE = 'txmesh.keyvalue.v1.KeyValueService';
/** Of gRPC, and of grpc-js. */
const DEFAULT_INTERVAL_SECONDS = 10;
const READERS = 4;
const BROKEN = 'broken';
/** Answers in a row of one replica, which two in turn never give. */
const IN_A_ROW = 100;

const text = readFileSync(new URL('../../proto/txmesh/service-config.json', import.meta.url), 'utf8');
const config = JSON.parse(text) as {
  readonly loadBalancingConfig: readonly { readonly outlier_detection: Readonly<Record<string, unknown>> }[];
  readonly methodConfig: readonly { readonly name: readonly { service: string; method: string }[]; readonly hedgingPolicy?: object; readonly retryPolicy?: { readonly maxAttempts: number } }[];
  readonly retryThrottling: { readonly maxTokens: number; readonly tokenRatio: number };
};

const paths = new Set(
  [ClusterServiceService, CoordinatorServiceService, CounterServiceService, KeyValue, ParticipantServiceService, QueueServiceService]
    .flatMap((definition) => Object.values(definition as grpc.ServiceDefinition))
    .filter(({ requestStream, responseStream }) => !requestStream && !responseStream)
    .map(({ path }) => path),
);
const named = (policy: 'hedgingPolicy' | 'retryPolicy'): string[] =>
  config.methodConfig.filter((each) => each[policy] !== undefined).flatMap(({ name }) => name.map(({ service, method }) => `/${service}/${method}`));

/**
 * The config with its ejections and delays in a fraction of their time; what it counts stays. How often it
 * looks for outliers is not in the file, because gRPC and grpc-js read it under one name in two forms.
 */
function hurried(fraction: number): string {
  const scaled = (value: unknown): unknown => {
    if (typeof value === 'string' && /^[\d.]+s$/.test(value)) return `${Number((Number(value.slice(0, -1)) * fraction).toFixed(3))}s`;
    if (Array.isArray(value)) return value.map(scaled);
    if (typeof value !== 'object' || value === null) return value;
    if ('seconds' in value) return durationOf(Number(value.seconds) * fraction);
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, scaled(each)]));
  };
  return JSON.stringify({
    ...config,
    loadBalancingConfig: config.loadBalancingConfig.map(({ outlier_detection }) => ({
      outlier_detection: { ...(scaled(outlier_detection) as object), interval: durationOf(DEFAULT_INTERVAL_SECONDS * fraction) },
    })),
    methodConfig: config.methodConfig.map((each) => (each.retryPolicy === undefined ? each : { ...each, retryPolicy: scaled(each.retryPolicy) })),
  });
}

const durationOf = (seconds: number) => ({ seconds: Math.floor(seconds), nanos: Math.round((seconds % 1) * 1e9) });

/** A plain client of these replicas. */
function clientOf(addresses: readonly string[], serviceConfig: string): grpc.Client {
  const options = { 'grpc.service_config': serviceConfig, 'grpc.use_local_subchannel_pool': 1 };
  const client = new grpc.Client(`ipv4:${addresses.join(',')}`, grpc.credentials.createInsecure(), options);
  onTestFinished(() => client.close());
  return client;
}

/** A method of a node fails every time, until it is healed. */
async function breakMethod(mesh: Meshed, node: Node, method: string, code: string): Promise<{ calls(): Promise<number>; heal(): Promise<unknown> }> {
  const fault = {
    ...{ name: BROKEN, target: { $case: 'calls' as const, value: { method, participant: '' } }, effect: { $case: 'error' as const, value: { code, message: '' } } },
    ...{ afterExecution: false, probability: 1, latency: undefined, duration: undefined, expireTime: undefined, injections: 0 },
  };
  await mesh.call(faults.setFault, { fault }, node);
  return {
    calls: async () => (await mesh.call(faults.listFaults, {}, node)).faults[0]!.injections,
    heal: () => mesh.call(faults.clearFaults, { name: BROKEN }, node),
  };
}

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
    const client = clientOf([mesh.nodes[0]!.address, `127.0.0.1:${await dying.listen()}`], text);
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

  test('a plain client leaves out a replica that fails its calls, and comes back to it when its time is over', async () => {
    const mesh = await startMesh({ partitions: 1, leaseTtlMs: 10_000, faultInjection: true }, 1);
    onTestFinished(() => mesh.close());
    const failing = await mesh.add({ coordinator: false, participants: [] });
    await failing.ready();
    const sound = mesh.nodes[0]!.address;
    const client = clientOf([sound, failing.address], hurried(1 / 10));
    await writeLocally(client, 'k');
    /** Who answered, in turn; undefined where a call failed. */
    const answers: (string | undefined)[] = [];
    const load = new Load();
    onTestFinished(() => load.stop());
    for (let i = 0; i < READERS; i++) load.add(`reads ${i}`, async () => answers.push(await plainGet(client).catch(() => undefined)));
    const last = () => answers.slice(-IN_A_ROW);
    await until('both answer', BOUND_MS, () => last().includes(sound) && last().includes(failing.address));

    const { calls, heal } = await breakMethod(mesh, failing, `${KEY_VALUE}/Get`, 'INTERNAL');
    await until('calls fail', BOUND_MS, () => last().includes(undefined));
    await until('no call fails', BOUND_MS, () => last().every((answer) => answer === sound), () => `of the last, ${last().filter((answer) => answer === undefined).length} failed`);
    // It was left out for what it answered, and not before.
    expect(await calls()).toBeGreaterThanOrEqual(20);
    await heal();
    await until('it is asked again', BOUND_MS, () => last().includes(failing.address));
  });

  test('a plain client stops repeating when too much fails, and repeats again when enough has succeeded', async () => {
    const { maxTokens, tokenRatio } = config.retryThrottling;
    const maxAttempts = config.methodConfig.find(({ retryPolicy }) => retryPolicy !== undefined)!.retryPolicy!.maxAttempts;
    const mesh = await startMesh({ partitions: 1, leaseTtlMs: 10_000, faultInjection: true }, 1);
    onTestFinished(() => mesh.close());
    const [node] = mesh.nodes;
    const client = clientOf([node!.address], hurried(1 / 10));
    const writeMany = (count: number) => Promise.allSettled(Array.from({ length: count }, (_, i) => writeLocally(client, `${i}`)));
    const executeLocal = `${KEY_VALUE}/ExecuteLocal`;

    const { calls, heal } = await breakMethod(mesh, node!, executeLocal, 'UNAVAILABLE');
    await expect(writeLocally(client, 'k')).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE });
    expect(await calls()).toBe(maxAttempts);
    // Each failure takes a token; below half of them nothing is repeated.
    await writeMany(maxTokens / 2 / maxAttempts);
    const before = await calls();
    expect(before).toBeGreaterThanOrEqual(maxTokens / 2);
    const further = 10;
    await writeMany(further);
    expect(await calls()).toBe(before + further);

    await heal();
    // All the tokens.
    for (let i = 0; i < 10; i++) expect((await writeMany(maxTokens / tokenRatio / 10)).filter(({ status }) => status === 'rejected')).toEqual([]);
    const again = await breakMethod(mesh, node!, executeLocal, 'UNAVAILABLE');
    await expect(writeLocally(client, 'k')).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE });
    expect(await again.calls()).toBe(maxAttempts);
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
