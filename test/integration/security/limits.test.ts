/** What a policy leaves each caller to have under way and to send, as it comes over the wire. */

import * as grpc from '@grpc/grpc-js';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { KeyValueServiceService as KeyValue, PutOperation } from '../../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Failure } from '../../../services/kernel/failure.ts';
import { serviceErrorToFailure } from '../../../services/runtime/errors/status.ts';
import type { Method } from '../../../services/runtime/transport/channels.ts';
import { servePolicy, type Policed } from '../support/policed-server.ts';
import { TokenIssuer } from '../support/token-issuer.ts';

const policy = (limit: string): string => `
rules:
  - name: all
    who: [{subjects: [shop, bank]}]
    allow:
      - {methods: ["*"], participants: ["*"], collections: [stock]}
limits:
  - {name: few, who: [{subjects: [shop, bank]}], ${limit}}
`;

const BOUND_MS = 60_000;
const KEY = { participant: 'inventory', collection: 'stock', key: 'k' };
const read = { ...KEY, consistency: 0 as const, transaction: undefined };
const write = (value: Buffer) => ({ ...KEY, value, contentType: '', precondition: undefined, mergePolicy: 0 as const, requestId: '', transaction: undefined });

let issuer: TokenIssuer;
beforeAll(async () => void (issuer = await TokenIssuer.create()));

/** A caller by plain gRPC, which retries nothing. */
async function callerOf({ node }: Policed, subject: string) {
  const client = new grpc.Client(node.address, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  onTestFinished(() => client.close());
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${await issuer.token(subject)}`);
  const deadline = (): grpc.CallOptions => ({ deadline: Date.now() + BOUND_MS });
  return {
    /** Why it failed; undefined: it did not. That a key is absent is an answer. */
    failureOf: <Request, Response>({ path, requestSerialize, responseDeserialize }: Method<Request, Response>, request: Request): Promise<Failure | undefined> =>
      new Promise((resolve) => {
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, deadline(), (error) =>
          resolve(error === null || error.code === grpc.status.NOT_FOUND ? undefined : serviceErrorToFailure(error)),
        );
      }),
    /** Resolves when the stream goes on: with what ends it, or with why it did not begin. */
    watch: (): Promise<(() => void) | Failure> => {
      const { path, requestSerialize, responseDeserialize } = KeyValue.watch;
      const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { participant: 'inventory', collection: 'stock', prefix: '', revisions: [{ partition: 0, revision: 0 }] }, metadata, deadline());
      return new Promise((resolve) => {
        call.on('data', () => resolve(() => call.cancel()));
        call.on('error', (error: grpc.ServiceError) => resolve(serviceErrorToFailure(error)));
      });
    },
  };
}

describe('of calls under way', () => {
  const overLimit = { reason: 'CALLER_LIMIT', metadata: { limit: 'in_flight', rule: 'few' }, retryAfterMs: 100 };

  test('streams count like calls, what is beyond is refused at once, and what is over makes room', async () => {
    const served = await servePolicy(issuer, policy('in_flight: 3'));
    const [shop, bank] = [await callerOf(served, 'shop'), await callerOf(served, 'bank')];
    expect(await shop.failureOf(KeyValue.put, write(Buffer.from('1')))).toBeUndefined();
    const ends: (() => void)[] = [];
    for (let i = 0; i < 3; i++) {
      const began = await shop.watch();
      expect(began).toBeInstanceOf(Function);
      ends.push(began as () => void);
    }
    expect(await shop.failureOf(KeyValue.get, read)).toMatchObject(overLimit);
    expect(await shop.watch()).toMatchObject(overLimit);
    // What was refused takes no room, and another caller has its own.
    expect(await shop.failureOf(KeyValue.get, read)).toMatchObject(overLimit);
    expect(await bank.failureOf(KeyValue.get, read)).toBeUndefined();
    ends[0]!();
    await vi.waitUntil(async () => (await shop.failureOf(KeyValue.get, read)) === undefined, { timeout: BOUND_MS, interval: 20 });
    expect(await shop.watch()).toBeInstanceOf(Function);
    expect(await shop.failureOf(KeyValue.get, read)).toMatchObject(overLimit);
  });

  test('a call that fails makes room, whatever it fails of', async () => {
    const served = await servePolicy(issuer, policy('in_flight: 1'));
    const shop = await callerOf(served, 'shop');
    for (let i = 0; i < 3; i++) {
      expect(await shop.failureOf(KeyValue.get, { ...read, collection: 'accounts' })).toMatchObject({ reason: 'PERMISSION_DENIED' });
      expect(await shop.failureOf(KeyValue.get, { ...read, key: '' })).toMatchObject({ reason: 'INVALID_FIELD' });
    }
    expect(await shop.failureOf(KeyValue.get, read)).toBeUndefined();
  });
});

describe('of bytes a second', () => {
  const RATE = 1_000;

  test('calls are refused until what was sent is made up for, without being carried out, and a new policy holds at once', async () => {
    const served = await servePolicy(issuer, policy(`bytes_per_second: ${RATE}`));
    const [shop, bank] = [await callerOf(served, 'shop'), await callerOf(served, 'bank')];
    const large = write(Buffer.alloc(100 * RATE, 'a'));
    expect(await shop.failureOf(KeyValue.put, large)).toBeUndefined();
    const refused = await shop.failureOf(KeyValue.put, write(Buffer.from('another')));
    expect(refused).toMatchObject({ reason: 'CALLER_LIMIT', metadata: { limit: 'bytes_per_second', rule: 'few' } });
    // A second's worth was there before; less the time that has passed since.
    const owedMs = ((KeyValue.put.requestSerialize(large).length - RATE) / RATE) * 1_000;
    expect(refused!.retryAfterMs).toBeGreaterThan(owedMs / 2);
    expect(refused!.retryAfterMs).toBeLessThanOrEqual(Math.ceil(owedMs) + 1);
    expect(served.refusals).toEqual(['bytes_per_second']);
    expect(await bank.failureOf(KeyValue.get, read)).toBeUndefined();
    served.rewrite(policy('in_flight: 1000'));
    await vi.waitUntil(async () => (await shop.failureOf(KeyValue.get, read)) === undefined, { timeout: BOUND_MS, interval: 20 });
    const entry = await served.as('shop').keyValue('inventory').collection('stock').get('k');
    expect(entry?.text()).toHaveLength(100 * RATE);
  });

  test('a stream is slowed down instead, and loses nothing', async () => {
    const bytes = 50_000;
    const served = await servePolicy(issuer, policy(`bytes_per_second: ${bytes}`));
    const shop = served.as('shop', { timeoutMs: BOUND_MS });
    await shop.ready();
    const beganMs = performance.now();
    const keys = ['a', 'b', 'c', 'd', 'e'];
    for (const key of keys) expect((await shop.execute({ operations: [put(key, key.repeat(bytes))] })).committed).toBe(true);
    // All but the last have been made up for, less the second's worth that was there before.
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual((keys.length - 2) * 1_000);
    expect(served.refusals).toEqual([]);
    const stock = served.as('bank').keyValue('inventory').collection('stock');
    for (const key of keys) expect((await stock.get(key))?.text()).toBe(key.repeat(bytes));
  });
});

/** As the SDK's `execute` sends it, in its stream. */
function put(key: string, text: string) {
  const value = PutOperation.encode({ collection: 'stock', key, value: Buffer.from(text), contentType: '', precondition: undefined, mergePolicy: 0 }).finish();
  return { participant: 'inventory', routingKey: key, operation: { typeUrl: 'type.googleapis.com/txmesh.keyvalue.v1.PutOperation', value } };
}
