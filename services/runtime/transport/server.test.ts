import * as grpc from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import {
  KeyValueServiceService as KeyValue,
  Entry,
  GetRequest,
  GetResponse,
  WatchRequest,
  WatchResponse,
} from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import {
  ExecuteStreamRequest,
  CoordinatorServiceService as Coordinator,
  type ExecuteStreamResponse,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { CommitRequest, ParticipantServiceService as Participant } from '../../gen/txmesh/participant/v1/participant.ts';
import type { Failure } from '../../kernel/failure.ts';
import { FailureError } from '../errors/failure-error.ts';
import { serviceErrorToFailure } from '../errors/status.ts';
import type { Duplex, Handlers, StreamHandler, UnaryHandler, DuplexHandler } from './service.ts';
import { gate, openChannels, openServer, until } from './testing/mesh.ts';

const EMPTY = new Uint8Array();
const GET: GetRequest = { ...GetRequest.decode(EMPTY), participant: 'p', collection: 'c', key: 'k' };
const GOT = GetResponse.decode(EMPTY);
const WATCH = WatchRequest.decode(EMPTY);
const WATCHED = WatchResponse.decode(EMPTY);
const SERVICE = 'txmesh.keyvalue.v1.KeyValueService';

interface Fakes {
  readonly get?: UnaryHandler<GetRequest, GetResponse>;
  readonly watch?: StreamHandler<unknown, WatchResponse>;
}

const keyValue = (fakes: Fakes): Handlers<typeof KeyValue> => fakes as Handlers<typeof KeyValue>;
const coordinator = (executeStream: DuplexHandler<ExecuteStreamRequest, ExecuteStreamResponse>): Handlers<typeof Coordinator> =>
  ({ executeStream }) as unknown as Handlers<typeof Coordinator>;

const failureOf = async (call: Promise<unknown>): Promise<Failure> => {
  try {
    await call;
  } catch (error) {
    if (error instanceof FailureError) return error.failure;
    throw error;
  }
  throw new Error('the call did not fail');
};

/** A client that sends bytes as they are. */
const rawClient = (port: number): grpc.Client => new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
const asIs = (bytes: Buffer): Buffer => bytes;

const sendRaw = (client: grpc.Client, path: string, bytes: Buffer): Promise<Failure | undefined> =>
  new Promise((resolve) => {
    client.makeUnaryRequest(path, asIs, asIs, bytes, (error) => resolve(error === null ? undefined : serviceErrorToFailure(error)));
  });

describe('server', () => {
  it('a request reaches its handler and the response its caller', async () => {
    const { server } = openServer();
    server.add(KeyValue, keyValue({ get: async (request, context) => {
      expect(context.forwarded).toBe(true);
      expect(context.traceparent).toBe('00-a-b-01');
      expect(context.deadlineMs).toBeGreaterThan(Date.now());
      return { ...GOT, entry: { ...Entry.decode(EMPTY), collection: request.collection, key: request.key } };
    } }));
    const port = await server.listen('127.0.0.1', 0);
    const options = { forwarded: true, traceparent: '00-a-b-01' };
    const { entry } = await openChannels().unary(`127.0.0.1:${port}`, KeyValue.get, GET, options);
    expect(entry).toMatchObject({ collection: 'c', key: 'k' });
  });

  it('a failure that a handler throws reaches the caller whole', async () => {
    const failure: Failure = { reason: 'LOCK_CONFLICT', message: 'held', metadata: { holder: 'x' } };
    const { server } = openServer();
    server.add(KeyValue, keyValue({ get: () => Promise.reject(new FailureError(failure)) }));
    const port = await server.listen('127.0.0.1', 0);
    expect(await failureOf(openChannels().unary(`127.0.0.1:${port}`, KeyValue.get, GET))).toEqual(failure);
  });

  it('whatever else a handler throws is logged and kept from the caller', async () => {
    const { server, logs } = openServer();
    server.add(KeyValue, keyValue({ get: () => { throw new Error('secret'); } }));
    const port = await server.listen('127.0.0.1', 0);
    const failure = await failureOf(openChannels().unary(`127.0.0.1:${port}`, KeyValue.get, GET));
    expect(failure.reason).toBe('INTERNAL');
    expect(JSON.stringify(failure)).not.toContain('secret');
    expect(JSON.stringify(logs)).toContain('secret');
  });

  it('a failure that can not be put into bytes ends its call INTERNAL, and nothing else', async () => {
    const { server, logs } = openServer();
    const broken = new FailureError({ reason: 'toString' as 'INTERNAL', message: 'm' });
    server.add(KeyValue, keyValue({
      get: () => Promise.reject(broken),
      watch: async function* () {
        yield WATCHED;
        throw broken;
      },
    }));
    const address = `127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
    const channels = openChannels();
    expect((await failureOf(channels.unary(address, KeyValue.get, GET))).reason).toBe('INTERNAL');
    const read = async (): Promise<void> => {
      for await (const _ of channels.stream(address, KeyValue.watch, WATCH));
    };
    expect((await failureOf(read())).reason).toBe('INTERNAL');
    expect(logs.filter(({ message }) => message === 'a handler failed')).toHaveLength(2);
  });

  it('bytes that do not decode and texts that are not UTF-8 are INVALID_ARGUMENT, on unary and streaming calls', async () => {
    const { server } = openServer();
    server.add(KeyValue, keyValue({ get: async () => GOT, watch: async function* () {} }));
    server.add(Coordinator, coordinator((call) => call.receive(() => undefined)));
    const client = rawClient(await server.listen('127.0.0.1', 0));
    for (const bytes of [Buffer.from([10, 1, 0xff]), Buffer.from([10, 50]), Buffer.from([0xff, 0xff])]) {
      expect(await sendRaw(client, KeyValue.get.path, bytes)).toMatchObject({ reason: 'MALFORMED_MESSAGE' });
      const watch = client.makeServerStreamRequest(KeyValue.watch.path, asIs, asIs, bytes).resume();
      const error = await new Promise<grpc.ServiceError>((resolve) => watch.on('error', (e) => resolve(e as grpc.ServiceError)));
      expect(error.code).toBe(grpc.status.INVALID_ARGUMENT);
      const stream = client.makeBidiStreamRequest(Coordinator.executeStream.path, asIs, asIs).resume();
      stream.write(Buffer.from(ExecuteStreamRequest.encode({ calls: [] }).finish()));
      stream.write(bytes);
      const streamError = await new Promise<grpc.ServiceError>((resolve) => stream.on('error', (e) => resolve(e as grpc.ServiceError)));
      expect(serviceErrorToFailure(streamError)).toMatchObject({ reason: 'MALFORMED_MESSAGE' });
    }
    client.close();
  });

  it('garbage is answered, and the server goes on', async () => {
    const { server, logs } = openServer();
    server.add(KeyValue, keyValue({ get: async () => GOT }));
    const client = rawClient(await server.listen('127.0.0.1', 0));
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
        const failure = await sendRaw(client, KeyValue.get.path, Buffer.from(bytes));
        if (failure !== undefined) expect(failure.reason).toBe('MALFORMED_MESSAGE');
      }),
      { numRuns: 200 },
    );
    expect(logs).toEqual([]);
    client.close();
  });

  it('more calls than the limit are refused, to be tried again', async () => {
    const { server } = openServer({ settings: { maxCalls: 2, maxStreams: 1 } });
    const { opened, open } = gate();
    let entered = 0;
    server.add(KeyValue, keyValue({
      get: async () => { entered++; await opened; return GOT; },
      watch: async function* (_, { signal }) { await new Promise((resolve) => signal.addEventListener('abort', resolve)); },
    }));
    const address = `127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
    const channels = openChannels();
    const taken = [channels.unary(address, KeyValue.get, GET), channels.unary(address, KeyValue.get, GET)];
    await until(() => entered === 2);
    expect(await failureOf(channels.unary(address, KeyValue.get, GET))).toMatchObject({ reason: 'OVERLOADED', retryAfterMs: 300 });
    open();
    await Promise.all(taken);
    await channels.unary(address, KeyValue.get, GET);
  });

  it('new work never keeps control out, which has limits of its own (P8)', async () => {
    const { server } = openServer({ settings: { maxCalls: 1, maxStreams: 1, maxControlCalls: 2, maxControlStreams: 1 } });
    const { opened, open } = gate();
    const held = gate();
    let entered = 0;
    server.add(KeyValue, keyValue({
      get: async () => { entered++; await opened; return GOT; },
      watch: async function* (_, { signal }) { entered++; await new Promise((resolve) => signal.addEventListener('abort', resolve)); },
    }));
    server.add(Participant, {
      commit: async () => { entered++; await held.opened; return { heuristic: 0 }; },
      exchange: (call: Duplex<unknown, unknown>) => { entered++; return call.receive(() => undefined); },
    } as unknown as Handlers<typeof Participant>);
    const address = `127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
    const channels = openChannels();
    const read = channels.unary(address, KeyValue.get, GET);
    const watch = channels.stream(address, KeyValue.watch, WATCH).next().catch(() => undefined);
    await until(() => entered === 2);
    expect(await failureOf(channels.unary(address, KeyValue.get, GET))).toMatchObject({ reason: 'OVERLOADED' });
    expect(await failureOf(channels.stream(address, KeyValue.watch, WATCH).next())).toMatchObject({ reason: 'OVERLOADED' });
    const commit = () => channels.unary(address, Participant.commit, CommitRequest.decode(EMPTY));
    const exchange = () => {
      const stream = channels.duplex(address, Participant.exchange).resume();
      return new Promise<Failure>((resolve) => stream.on('error', (error) => resolve(serviceErrorToFailure(error as grpc.ServiceError))));
    };
    const control = [commit(), commit()];
    void exchange();
    await until(() => entered === 5);
    expect(await failureOf(commit())).toMatchObject({ reason: 'OVERLOADED', message: expect.stringContaining('2 control calls') });
    expect(await exchange()).toMatchObject({ reason: 'OVERLOADED', message: expect.stringContaining('1 control streams') });
    held.open();
    await Promise.all(control);
    open();
    await read;
    await server.close(1_000);
    await watch;
  });

  it('a handler hears that its caller is gone', async () => {
    const { server } = openServer();
    let reason: unknown;
    const entered = gate();
    server.add(KeyValue, keyValue({ get: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => { reason = signal.reason; reject(signal.reason); });
        entered.open();
      }) }));
    const port = await server.listen('127.0.0.1', 0);
    const controller = new AbortController();
    const call = openChannels().unary(`127.0.0.1:${port}`, KeyValue.get, GET, { signal: controller.signal });
    await entered.opened;
    controller.abort();
    expect((await failureOf(call)).reason).toBe('CANCELLED');
    await until(() => reason !== undefined);
    expect(reason).toMatchObject({ failure: { reason: 'CANCELLED' } });
  });

  it('a stream ends with what its handler threw, after what it sent', async () => {
    const { server } = openServer();
    server.add(KeyValue, keyValue({ watch: async function* () {
      yield WATCHED;
      throw new FailureError({ reason: 'POSITION_COMPACTED', message: 'gone' });
    } }));
    const port = await server.listen('127.0.0.1', 0);
    const received: unknown[] = [];
    const failure = await failureOf((async () => {
      for await (const r of openChannels().stream(`127.0.0.1:${port}`, KeyValue.watch, WATCH)) received.push(r);
    })());
    expect(received).toHaveLength(1);
    expect(failure.reason).toBe('POSITION_COMPACTED');
  });

  it('an iteration is ended when its reader goes', async () => {
    const { server } = openServer();
    let ended = false;
    server.add(KeyValue, keyValue({ watch: async function* (_, { signal }) {
      try {
        yield WATCHED;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      } finally {
        ended = true;
      }
    } }));
    const port = await server.listen('127.0.0.1', 0);
    for await (const _ of openChannels().stream(`127.0.0.1:${port}`, KeyValue.watch, WATCH)) break;
    await until(() => ended);
  });

  it('draining loses no call that was taken, refuses those that come late, and ends streams', async () => {
    const { server } = openServer();
    const { opened, open } = gate();
    let entered = 0;
    server.add(KeyValue, keyValue({
      get: async () => { entered++; await opened; return GOT; },
      watch: async function* () { yield WATCHED; await new Promise(() => undefined); },
    }));
    const address = `127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
    const channels = openChannels();
    const calls = Array.from({ length: 200 }, () => channels.unary(address, KeyValue.get, GET));
    const stream = channels.stream(address, KeyValue.watch, WATCH);
    await stream.next();
    await until(() => entered === 200);
    server.stopTaking();
    const late = await failureOf(channels.unary(address, KeyValue.get, GET));
    expect(late.retryAfterMs).toBeGreaterThan(0);
    const closed = server.close(10_000);
    open();
    expect(await Promise.all(calls)).toHaveLength(200);
    expect((await failureOf(stream.next())).reason).toBe('DRAINING');
    await closed;
  });

  it('of calls that race with the drain each is answered, or surely was not executed', async () => {
    const { server } = openServer();
    let executed = 0;
    server.add(KeyValue, keyValue({ get: async () => { executed++; await new Promise((r) => setImmediate(r)); return GOT; } }));
    const address = `127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
    const channels = openChannels();
    let answered = 0;
    const refused: Failure[] = [];
    const callers = Array.from({ length: 50 }, async () => {
      while (refused.length < 200) {
        try {
          await channels.unary(address, KeyValue.get, GET);
          answered++;
        } catch (error) {
          refused.push((error as FailureError).failure);
        }
      }
    });
    await until(() => answered > 500);
    await server.close(10_000);
    await Promise.all(callers);
    expect(refused.filter((failure) => failure.retryAfterMs === undefined)).toEqual([]);
    expect(answered).toBe(executed);
  });

  it('what is not done within the bound is cut off', async () => {
    const { server } = openServer();
    const entered = gate();
    server.add(KeyValue, keyValue({ get: () => { entered.open(); return new Promise(() => undefined); } }));
    const address = `127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
    const call = failureOf(openChannels().unary(address, KeyValue.get, GET));
    await entered.opened;
    await server.close(50);
    expect(await call).toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
  });

  it('a port in use is one clear error that names the setting', async () => {
    const { server: first } = openServer();
    const port = await first.listen('127.0.0.1', 0);
    const { server: second } = openServer();
    await expect(second.listen('127.0.0.1', port)).rejects.toThrow(`port ${port} on 127.0.0.1 is in use: stop what listens there, or choose another port with --port`);
  });
});

function watchOver(client: grpc.Client) {
  const stream = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', asIs, asIs, Buffer.alloc(0));
  const seen: number[] = [];
  let failure: Failure | undefined;
  stream.on('data', (reply: Buffer) => seen.push(reply.at(-1)!));
  stream.on('error', (error) => (failure = serviceErrorToFailure(error as grpc.ServiceError)));
  return { seen, failure: () => failure, cancel: () => stream.cancel() };
}

describe('health', () => {
  const check = (client: grpc.Client, service: string): Promise<number | string> =>
    new Promise((resolve) => {
      const request = Buffer.from([10, service.length, ...Buffer.from(service)]);
      client.makeUnaryRequest('/grpc.health.v1.Health/Check', asIs, asIs, request, (error, reply?: Buffer) =>
        resolve(error === null ? reply!.at(-1)! : grpc.status[error.code]!));
    });

  it('is told for each service and for the whole, and turns with the drain', async () => {
    const { server } = openServer();
    server.add(KeyValue, keyValue({}));
    const port = await server.listen('127.0.0.1', 0);
    const client = rawClient(port);
    expect(await check(client, SERVICE)).toBe(2);
    server.setServing(SERVICE, true);
    expect(await check(client, SERVICE)).toBe(1);
    expect(await check(client, '')).toBe(1);
    expect(await check(client, 'nobody')).toBe('NOT_FOUND');
    const watch = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', asIs, asIs, Buffer.alloc(0));
    const seen: number[] = [];
    watch.on('data', (reply: Buffer) => seen.push(reply.at(-1)!));
    watch.on('error', () => undefined);
    await until(() => seen.length === 1);
    await server.close(5_000);
    expect(seen).toEqual([1, 2]);
    client.close();
  });

  it('is watched by a bounded number, also while the server stops, and at the port for probes', async () => {
    const { server } = openServer({ settings: { maxSupportStreams: 2 } });
    const ports = [await server.listen('127.0.0.1', 0), await server.listenForProbes('127.0.0.1', 0)];
    const clients = ports.map(rawClient);
    const watched = clients.map((client) => watchOver(client));
    await until(() => watched.every(({ seen }) => seen.length === 1));
    for (const client of clients) {
      const refused = watchOver(client);
      await until(() => refused.failure() !== undefined);
      expect(refused.failure()).toMatchObject({ reason: 'OVERLOADED', message: expect.stringContaining('2 support streams') });
    }
    watched[0]!.cancel();
    // The server hears of it a moment later.
    await vi.waitFor(async () => {
      const { seen, failure } = watchOver(clients[1]!);
      await until(() => seen.length + (failure() === undefined ? 0 : 1) > 0);
      expect(seen).toHaveLength(1);
    }, { timeout: 10_000 });
    await server.close(5_000);
    for (const client of clients) client.close();
  });

  it('is told in plain text on a port of its own, alone, whatever the other port speaks', async () => {
    const certificates = grpc.ServerCredentials.createSsl(null, []);
    const { server } = openServer({ credentials: certificates });
    server.add(KeyValue, keyValue({ get: async () => GOT }));
    await server.listen('127.0.0.1', 0);
    const client = rawClient(await server.listenForProbes('127.0.0.1', 0));
    expect(await check(client, SERVICE)).toBe(2);
    server.setServing(SERVICE, true);
    expect(await check(client, SERVICE)).toBe(1);
    expect(await sendRaw(client, KeyValue.get.path, Buffer.alloc(0))).toMatchObject({ message: expect.stringContaining('does not implement') });
    server.stopTaking();
    expect(await check(client, SERVICE)).toBe(2);
    await server.close(5_000);
    expect(await check(client, SERVICE)).toBe('UNAVAILABLE');
    client.close();
  });
});

describe('reflection', () => {
  it.each(['v1', 'v1alpha'])('%s lists the services and finds the types that Any may hold', async (version) => {
    const { server } = openServer();
    const client = rawClient(await server.listen('127.0.0.1', 0));
    const stream = client.makeBidiStreamRequest(`/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`, asIs, asIs);
    const replies: string[] = [];
    stream.on('data', (reply: Buffer) => replies.push(reply.toString('latin1')));
    const ask = (field: number, text: string): void => void stream.write(Buffer.from([(field << 3) | 2, text.length, ...Buffer.from(text)]));
    ask(7, '*');
    ask(4, 'txmesh.keyvalue.v1.PutOperation');
    ask(4, 'google.protobuf.Timestamp');
    await until(() => replies.length === 3);
    for (const service of [SERVICE, 'txmesh.coordinator.v1.CoordinatorService', 'txmesh.participant.v1.ParticipantService', 'txmesh.cluster.v1.ClusterService', 'grpc.health.v1.Health'])
      expect(replies[0]).toContain(service);
    expect(replies[1]).toContain('keyvalue.proto');
    expect(replies[2]).toContain('timestamp.proto');
    stream.end();
    await new Promise((resolve) => stream.on('status', resolve));
    client.close();
  });
});
