import type * as grpc from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeMesh, unary } from '../../test/support/fake-mesh.ts';
import { Cancelled, OutcomeUnknown } from './errors.ts';
import { Mesh } from './mesh.ts';
import { put } from './operations.ts';
import { TestEnvironment, until } from './testing/test-environment.ts';

let fake: FakeMesh;
let mesh: Mesh;
let environment: TestEnvironment;
let asked = 0;
let cancelled = 0;

beforeEach(async () => {
  asked = 0;
  cancelled = 0;
  fake = await FakeMesh.start({
    // It never answers.
    execute: ((call: grpc.ServerUnaryCall<unknown, unknown>) => {
      asked++;
      call.on('cancelled', () => cancelled++);
    }) as never,
    get: unary(() => {
      asked++;
      return { failure: { reason: 'NO_LEADER', message: 'no leader', retryAfterMs: 20_000 } };
    }),
  });
  environment = new TestEnvironment();
  mesh = new Mesh({ addresses: [fake.address] }, environment);
});
afterEach(() => {
  mesh.close();
  fake.stop();
});

const large = () => ({ operations: [put('payments', 'accounts', 'alice', new Uint8Array(2 * 1024 * 1024))] });

describe('a connection that is closed', () => {
  test('ends a call that waits for its next try', async () => {
    const called = mesh.keyValue('payments').collection('accounts').get('alice');
    await until(() => asked === 1 && environment.waitingCount > 0);
    mesh.close();
    await expect(called).rejects.toBeInstanceOf(Cancelled);
  });

  test('breaks off an execution that goes alone', async () => {
    const called = mesh.execute(large());
    await until(() => asked === 1);
    mesh.close();
    await expect(called).rejects.toBeInstanceOf(OutcomeUnknown);
    await until(() => cancelled === 1);
  });

  test('extends no deadlines of messages, also where nobody ends their iteration', async () => {
    fake.queue.subscribe('billing', 'orders');
    await mesh.queue().publish('orders', 'one');
    const messages = mesh.queue().messages('billing');
    expect((await messages.next()).value?.text()).toBe('one');
    expect(environment.waitingCount).toBeGreaterThan(0);
    mesh.close();
    await until(() => environment.waitingCount === 0);
  });
});

test('an execution that goes alone is broken off when its signal fires', async () => {
  const controller = new AbortController();
  const called = mesh.execute({ ...large(), signal: controller.signal });
  await until(() => asked === 1);
  controller.abort();
  await expect(called).rejects.toBeInstanceOf(OutcomeUnknown);
  await until(() => cancelled === 1);
});
