import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeMesh } from '../../../test/support/fake-mesh.ts';
import { InvalidRequest, OutcomeUnknown, Overloaded, TransactionAborted } from '../errors.ts';
import { Mesh } from '../mesh.ts';
import { TestEnvironment, until } from '../testing/test-environment.ts';
import type { Queue } from './queue.ts';

let fake: FakeMesh;
let environment: TestEnvironment;
let mesh: Mesh;
let queue: Queue;

beforeEach(async () => {
  fake = await FakeMesh.start();
  environment = new TestEnvironment();
  mesh = new Mesh({ addresses: [fake.address], maxPending: 100 }, environment);
  queue = mesh.queue();
});
afterEach(() => {
  mesh.close();
  fake.stop();
});

const noLeader = { reason: 'NO_LEADER', message: 'no leader', retryAfterMs: 50 } as const;
const lost = { reason: 'OUTCOME_UNKNOWN', message: 'the reply was lost' } as const;
const failed = (promise: Promise<unknown>) => promise.then(() => undefined, (error: unknown) => error);

describe('a publish', () => {
  test('answers with the message’s id, and many with theirs in order', async () => {
    expect(await queue.publish('orders', 'one')).toBe('0-1');
    expect(await queue.publish('orders', ['two', { data: 'three', attributes: { of: 'shop' } }])).toEqual(['0-2', '0-3']);
    expect(fake.queue.texts('orders')).toEqual(['one', 'two', 'three']);
    expect(fake.queue.topics.get('orders')![2]!.attributes).toEqual({ of: 'shop' });
  });

  test('travels in one frame with the others of its turn', async () => {
    await queue.publish('orders', 'first');
    fake.queue.frames = 0;
    await Promise.all(Array.from({ length: 500 }, (_, i) => queue.publish('orders', String(i))));
    expect(fake.queue.frames).toBe(1);
    expect(fake.queue.texts('orders')).toHaveLength(501);
  });

  test('says below which number nothing will be repeated', async () => {
    await queue.publish('orders', ['a', 'b', 'c']);
    await queue.publish('orders', 'd');
    expect(fake.queue.settledBelow).toBe(4);
  });

  test('of what can’t be encoded is refused alone', async () => {
    const [bad, good] = await Promise.allSettled([queue.publish('orders', { data: 7 } as never), queue.publish('orders', 'good')]);
    expect(bad).toMatchObject({ status: 'rejected', reason: { name: 'InvalidRequest' } });
    expect(good.status).toBe('fulfilled');
    await expect(queue.publish('orders', { data: 'x', delayMs: -1 })).rejects.toBeInstanceOf(InvalidRequest);
  });
});

describe('a publish whose answer is lost', () => {
  test('is sent again under the same token, and published once', async () => {
    fake.queue.onPublish = (call, stream) => {
      fake.queue.onPublish = () => 'own';
      fake.queue.execute('orders', fake.queue.sessions[0]!, call);
      stream.emit('error', { code: 14, details: 'going away' });
      return undefined;
    };
    expect(await queue.publish('orders', 'one')).toBe('0-1');
    expect(fake.queue.texts('orders')).toEqual(['one']);
    expect(new Set(fake.queue.sessions).size).toBe(1);
    expect(fake.queue.calls.map(({ sequence }) => sequence)).toEqual([1, 1]);
  });

  test('is sent again when the server says that it does not know', async () => {
    fake.queue.onPublish = () => {
      fake.queue.onPublish = () => 'own';
      return lost;
    };
    await queue.publish('orders', 'one');
    expect(fake.queue.texts('orders')).toEqual(['one']);
  });

  test('survives a server that goes away and comes back', async () => {
    fake.queue.onPublish = () => {
      fake.queue.onPublish = () => 'own';
      fake.stop();
      return undefined;
    };
    const publish = queue.publish('orders', 'one');
    await until(() => fake.queue.calls.length === 1);
    await fake.restart();
    await publish;
    expect(fake.queue.texts('orders')).toEqual(['one']);
  });

  test('fails as unknown at its deadline; settle() publishes it, once', async () => {
    fake.queue.onPublish = () => undefined;
    const publish = failed(queue.publish('orders', 'one', { timeoutMs: 20_000 }));
    await until(() => fake.queue.calls.length === 1);
    environment.advance(20_000);
    const error = await publish;
    expect(error).toBeInstanceOf(OutcomeUnknown);
    expect(await (error as OutcomeUnknown).settle()).toBe(true);
    expect(await (error as OutcomeUnknown).settle()).toBe(true);
    expect(fake.queue.texts('orders')).toEqual(['one']);
    expect(fake.queue.unaryPublishes[0]).toMatchObject({ session: fake.queue.sessions[0], firstSequence: 1, settledBelow: 1 });
  });

  test('fails as unknown when its signal fires', async () => {
    fake.queue.onPublish = () => undefined;
    const controller = new AbortController();
    const publish = queue.publish('orders', 'one', { signal: controller.signal });
    await until(() => fake.queue.calls.length === 1);
    controller.abort();
    await expect(publish).rejects.toMatchObject({ name: 'OutcomeUnknown', cause: { reason: 'CANCELLED' } });
  });

  test('fails as unknown when the connection is closed', async () => {
    fake.queue.onPublish = () => undefined;
    const publish = queue.publish('orders', 'one');
    await until(() => fake.queue.calls.length === 1);
    mesh.close();
    await expect(publish).rejects.toBeInstanceOf(OutcomeUnknown);
    await expect(queue.publish('orders', 'two')).rejects.toMatchObject({ name: 'Cancelled' });
  });
});

describe('a publish that was not executed', () => {
  test('is sent again after the delay that the server asked for', async () => {
    fake.queue.onPublish = () => {
      fake.queue.onPublish = () => 'own';
      return { reason: 'OVERLOADED', message: 'the topic is full', retryAfterMs: 700 };
    };
    await queue.publish('orders', 'one');
    expect(Math.max(...environment.delays)).toBeGreaterThanOrEqual(700);
  });

  test('goes on in a new session when its session has expired', async () => {
    await queue.publish('orders', 'one');
    fake.queue.onPublish = () => {
      fake.queue.onPublish = () => 'own';
      return { reason: 'SESSION_EXPIRED', message: 'not known' };
    };
    await queue.publish('orders', 'two');
    expect(new Set(fake.queue.sessions).size).toBe(2);
    expect(fake.queue.texts('orders')).toEqual(['one', 'two']);
  });

  test('fails when new sessions expire too', async () => {
    fake.queue.onPublish = () => ({ reason: 'SESSION_EXPIRED', message: 'not known' });
    await expect(queue.publish('orders', 'one')).rejects.toMatchObject({ reason: 'SESSION_EXPIRED' });
    expect(fake.queue.sessions).toHaveLength(3);
  });

  test('fails with what is wrong with it', async () => {
    fake.queue.onPublish = () => ({ reason: 'LIMIT_EXCEEDED', message: 'too large' });
    await expect(queue.publish('orders', 'one')).rejects.toBeInstanceOf(InvalidRequest);
  });

  test('waits for room, and is refused when too many wait', async () => {
    fake.queue.onPublish = () => undefined;
    const underWay = Array.from({ length: 4_096 + 100 }, (_, i) => failed(queue.publish('orders', String(i))));
    const error = await failed(queue.publish('orders', 'one too many'));
    expect(error).toBeInstanceOf(Overloaded);
    await until(() => fake.queue.calls.length === 4_096);
    mesh.close();
    const errors = await Promise.all(underWay);
    expect(errors.filter((found) => found instanceof OutcomeUnknown)).toHaveLength(4_096);
  });

  test('of many more than there is room for goes out bit by bit', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => String(i));
    const ids = await queue.publish('orders', many);
    expect(ids).toHaveLength(10_000);
    expect(fake.queue.texts('orders')).toEqual(many);
  });
});

describe('an ordering key', () => {
  const keyed = (text: string) => queue.publish('orders', { data: text, orderingKey: 'k' });

  test('keeps its order when the first of several is refused', async () => {
    fake.queue.onPublish = () => {
      fake.queue.onPublish = () => 'own';
      return noLeader;
    };
    await Promise.all([keyed('1'), keyed('2'), queue.publish('orders', 'free'), keyed('3')]);
    expect(fake.queue.texts('orders')).toEqual(['free', '1', '2', '3']);
  });

  test('keeps its order when the stream is lost in the middle', async () => {
    let broken: unknown;
    fake.queue.onPublish = ({ sequence }, stream) => {
      if ((sequence < 3 && broken === undefined) || (broken !== undefined && stream !== broken)) return 'own';
      if (broken === undefined) stream.emit('error', { code: 14, details: 'going away' });
      broken = stream;
      return undefined;
    };
    await Promise.all(['1', '2', '3', '4', '5'].map(keyed));
    expect(fake.queue.texts('orders')).toEqual(['1', '2', '3', '4', '5']);
  });

  test('has no gaps: what was sent after one that failed fails too, what comes later does not', async () => {
    fake.queue.onPublish = () => {
      fake.queue.onPublish = () => 'own';
      return { reason: 'LIMIT_EXCEEDED', message: 'too large' };
    };
    const [first, second] = await Promise.all([failed(keyed('1')), failed(keyed('2'))]);
    expect(first).toBeInstanceOf(InvalidRequest);
    expect(second).toBeInstanceOf(TransactionAborted);
    expect(second).toMatchObject({ reason: 'ORDERING_KEY_PAUSED' });
    await keyed('3');
    expect(fake.queue.texts('orders')).toEqual(['3']);
  });

  test('keeps its order into a new session', async () => {
    await keyed('0');
    let refusals = 0;
    fake.queue.onPublish = () => (++refusals <= 1 ? { reason: 'SESSION_EXPIRED', message: 'not known' } : 'own');
    await Promise.all(['1', '2', '3'].map(keyed));
    expect(fake.queue.texts('orders')).toEqual(['0', '1', '2', '3']);
  });
});

test('a session is replaced when it is old', async () => {
  await queue.publish('orders', 'one');
  environment.advance(6 * 60_000);
  await queue.publish('orders', 'two');
  expect(new Set(fake.queue.sessions).size).toBe(2);
});

test('a session that is full of unknown outcomes is replaced', async () => {
  fake.queue.onPublish = ({ sequence }) => (sequence === 1 ? undefined : 'own');
  const stuck = failed(queue.publish('orders', 'stuck', { timeoutMs: 20_000 }));
  await queue.publish('orders', Array.from({ length: 4_095 }, (_, i) => String(i)));
  fake.queue.onPublish = () => 'own';
  await queue.publish('orders', 'next');
  expect(new Set(fake.queue.sessions).size).toBe(2);
  environment.advance(20_000);
  expect(await stuck).toBeInstanceOf(OutcomeUnknown);
});
