import * as grpc from '@grpc/grpc-js';
import { expect, it, vi } from 'vitest';
import { CoordinatorServiceService as Coordinator, ExecuteStreamRequest, type ExecuteCall, type ExecuteStreamResponse } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { GetRequest, GetResponse, KeyValueServiceService as KeyValue, WatchRequest, WatchResponse } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Failure } from '../../kernel/failure.ts';
import { FailureError } from '../errors/failure-error.ts';
import { serviceErrorToFailure } from '../errors/status.ts';
import { connectionOf } from '../security/certificate.ts';
import type { ServerCall } from './context.ts';
import { type Door, type GuardedStream, Refused, type Visit } from './guard.ts';
import type { Duplex, Handlers } from './service.ts';
import { openChannels, openServer, until } from './testing/mesh.ts';

const EMPTY = new Uint8Array();
const GET: GetRequest = { ...GetRequest.decode(EMPTY), collection: 'c', key: 'k' };
const DENIED: Failure = { reason: 'PERMISSION_DENIED', message: 'no' };

const failureOf = (call: Promise<unknown>): Promise<Failure> =>
  call.then(
    () => Promise.reject(new Error('the call did not fail')),
    (error: unknown) => (error as FailureError).failure,
  );

/** A visit that allows everything, with what a test changes, and a count of those that have left. */
function visits(changes: Partial<Visit> = {}) {
  const counted = { left: 0, visit: {} as Visit };
  counted.visit = { check: () => undefined, open: () => undefined, take: (request) => request, leave: () => void counted.left++, ...changes };
  return counted;
}

async function guarded(admit: Door['admit'], handlers: Partial<Record<'get' | 'watch' | 'executeStream', unknown>>) {
  const { server, logs } = openServer({ guard: { of: () => ({ admit }) } });
  server.add(KeyValue, handlers as Handlers<typeof KeyValue>);
  server.add(Coordinator, handlers as unknown as Handlers<typeof Coordinator>);
  return { address: `127.0.0.1:${await server.listen('127.0.0.1', 0)}`, logs };
}

it('a call that is not admitted reaches no handler, at once or later', async () => {
  const get = vi.fn(async () => GetResponse.decode(EMPTY));
  const watch = vi.fn(async function* () {});
  const executeStream = vi.fn(async () => undefined);
  for (const admit of [() => new Refused(DENIED), async () => new Refused(DENIED)]) {
    const { address } = await guarded(admit, { get, watch, executeStream });
    const channels = openChannels();
    expect(await failureOf(channels.unary(address, KeyValue.get, GET))).toEqual(DENIED);
    expect(await failureOf(channels.stream(address, KeyValue.watch, WatchRequest.decode(EMPTY)).next())).toEqual(DENIED);
    const stream = channels.duplex(address, Coordinator.executeStream).resume();
    const error = await new Promise<grpc.ServiceError>((resolve) => stream.on('error', (e) => resolve(e as grpc.ServiceError)));
    expect(serviceErrorToFailure(error)).toEqual(DENIED);
  }
  expect(get.mock.calls.length + watch.mock.calls.length + executeStream.mock.calls.length).toBe(0);
});

it('a request that is refused reaches no handler, with its size known; every visit leaves', async () => {
  const executed: string[] = [];
  const get = async ({ key }: GetRequest) => (executed.push(key), GetResponse.decode(EMPTY));
  const sizes: number[] = [];
  const counted = visits({ check: (request, bytes) => (sizes.push(bytes), (request as GetRequest).key === 'k' ? DENIED : undefined) });
  const { address } = await guarded(async () => counted.visit, { get });
  const channels = openChannels();
  expect(await failureOf(channels.unary(address, KeyValue.get, GET))).toEqual(DENIED);
  await channels.unary(address, KeyValue.get, { ...GET, key: 'other' });
  expect(executed).toEqual(['other']);
  expect(sizes).toEqual([GetRequest.encode(GET).finish().length, GetRequest.encode({ ...GET, key: 'other' }).finish().length]);
  expect(counted.left).toBe(2);
});

it('a guard that fails is an error of the software, and nothing is executed', async () => {
  const get = vi.fn(async () => GetResponse.decode(EMPTY));
  const fail = (): never => { throw new Error('defect'); };
  for (const admit of [fail, () => visits({ check: fail }).visit]) {
    const { address, logs } = await guarded(admit, { get });
    expect(await failureOf(openChannels().unary(address, KeyValue.get, GET))).toMatchObject({ reason: 'INTERNAL' });
    expect(JSON.stringify(logs)).toContain('defect');
  }
  expect(get).not.toHaveBeenCalled();
});

it('of a stream, parts are answered by the guard and the rest by the handler; it may be paused and ended', async () => {
  let opened: GuardedStream | undefined;
  const counted = visits({
    open: (stream) => void (opened = stream),
    take(request) {
      const { calls } = request as ExecuteStreamRequest;
      opened!.answer({ results: calls.filter(({ sequence }) => sequence > 10).map(({ sequence }) => ({ sequence, result: undefined })) });
      const left = calls.filter(({ sequence }) => sequence <= 10);
      return left.length === 0 ? undefined : { calls: left };
    },
  });
  const taken: number[] = [];
  const executeStream = (calls: Duplex<ExecuteStreamRequest, ExecuteStreamResponse>) => calls.receive((frame) => void taken.push(...frame.calls.map(({ sequence }) => sequence)));
  const { address } = await guarded(() => counted.visit, { executeStream });
  const stream = openChannels().duplex(address, Coordinator.executeStream);
  const answered: number[] = [];
  stream.on('data', ({ results }: ExecuteStreamResponse) => answered.push(...results.map(({ sequence }) => sequence)));
  const call = (sequence: number): ExecuteCall => ({ sequence, request: undefined, traceparent: '', remaining: undefined });
  const ended = new Promise<grpc.ServiceError>((resolve) => stream.on('error', (error) => resolve(error as grpc.ServiceError)));
  stream.write({ calls: [call(1), call(11)] });
  stream.write({ calls: [call(12)] });
  await until(() => answered.length === 2 && taken.length === 1);
  expect([answered, taken]).toEqual([[11, 12], [1]]);
  opened!.pause();
  opened!.resume();
  stream.write({ calls: [call(2)] });
  await until(() => taken.length === 2);
  opened!.end(DENIED);
  expect(serviceErrorToFailure(await ended)).toEqual(DENIED);
  await until(() => counted.left === 1);
});

it('a stream of answers ends when the guard says so', async () => {
  let opened: GuardedStream | undefined;
  const counted = visits({ open: (stream) => void (opened = stream) });
  const watch = async function* () {
    yield WatchResponse.decode(EMPTY);
    await new Promise(() => undefined);
  };
  const { address } = await guarded(() => counted.visit, { watch });
  const stream = openChannels().stream(address, KeyValue.watch, WatchRequest.decode(EMPTY));
  await stream.next();
  opened!.end(DENIED);
  expect(await failureOf(stream.next())).toEqual(DENIED);
  await until(() => counted.left === 1);
});

it('health and reflection pass by the guard, too', async () => {
  const paths: string[] = [];
  const { server } = openServer({ guard: { of: (path) => ({ admit: () => (paths.push(path), new Refused(DENIED)) }) } });
  const client = new grpc.Client(`127.0.0.1:${await server.listen('127.0.0.1', 0)}`, grpc.credentials.createInsecure());
  const asIs = (bytes: Buffer): Buffer => bytes;
  const all = ['/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/Watch', '/grpc.health.v1.Health/List', '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'];
  for (const path of all) {
    const call = client.makeBidiStreamRequest(path, asIs, asIs).resume();
    call.on('error', () => undefined);
    call.end(Buffer.alloc(0));
    expect(await new Promise((resolve) => call.on('status', ({ code }) => resolve(code)))).toBe(grpc.status.PERMISSION_DENIED);
  }
  expect(paths).toEqual(all);
  client.close();
});

it('calls of one connection can be told from those of another, which grpc-js has no public way for', async () => {
  const seen: (object | undefined)[] = [];
  const admit = (call: ServerCall): Visit => (seen.push(connectionOf(call)), visits().visit);
  const { address } = await guarded(admit, { get: async () => GetResponse.decode(EMPTY) });
  const [one, other] = [openChannels(), openChannels()];
  for (const channels of [one, one, other]) await channels.unary(address, KeyValue.get, GET);
  expect(seen[0]).toBeDefined();
  expect(seen[1]).toBe(seen[0]);
  expect(seen[2]).not.toBe(seen[0]);
});
