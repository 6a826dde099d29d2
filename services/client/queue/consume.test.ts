import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeMesh } from '../../../test/support/fake-mesh.ts';
import type { Failure } from '../../kernel/failure.ts';
import { FailedPrecondition, InvalidRequest, OutcomeUnknown } from '../errors.ts';
import { Mesh } from '../mesh.ts';
import { TestEnvironment, until } from '../testing/test-environment.ts';
import type { Queue } from './queue.ts';
import type { ReceivedMessage } from './received-message.ts';

let fake: FakeMesh;
let environment: TestEnvironment;
let mesh: Mesh;
let queue: Queue;

beforeEach(async () => {
  fake = await FakeMesh.start();
  environment = new TestEnvironment();
  mesh = new Mesh({ addresses: [fake.address] }, environment);
  queue = mesh.queue();
  fake.queue.subscribe('billing', 'orders');
});
afterEach(() => {
  mesh.close();
  fake.stop();
});

const publish = (...texts: string[]) => queue.publish('orders', texts);
const expired = { reason: 'ACK_EXPIRED', message: 'too late' } as const;

/** Takes so many messages, hands each to `use`, and ends the iteration. */
async function take(count: number, use: (message: ReceivedMessage) => Promise<void>, options = {}): Promise<ReceivedMessage[]> {
  const taken: ReceivedMessage[] = [];
  for await (const message of queue.messages('billing', options)) {
    taken.push(message);
    await use(message);
    if (taken.length === count) break;
  }
  return taken;
}

describe('a pull', () => {
  test('takes what is there, to be acknowledged by itself', async () => {
    await publish('one', 'two');
    const [one, two, ...rest] = await queue.pull('billing', { maxMessages: 10 });
    expect(rest).toEqual([]);
    expect(one).toMatchObject({ subscription: 'billing', id: '0-1', deliveryAttempt: 1 });
    expect([one!.text(), two!.text()]).toEqual(['one', 'two']);
    await Promise.all([one!.ack(), two!.nack()]);
    expect(fake.queue.count('billing', 'acknowledged')).toBe(1);
    expect(await queue.pull('billing', { maxMessages: 10 })).toMatchObject([{ id: '0-2', deliveryAttempt: 2 }]);
    await expect(one!.ack()).rejects.toBeInstanceOf(InvalidRequest);
  });
});

describe('the messages of a subscription', () => {
  test('come as they are published, and are acknowledged durably', async () => {
    const taking = take(3, (message) => message.ack());
    await publish('one', 'two');
    await publish('three');
    expect((await taking).map((message) => message.text())).toEqual(['one', 'two', 'three']);
    expect(fake.queue.count('billing', 'acknowledged')).toBe(3);
  });

  test('are fetched within the limits, which the server is told', async () => {
    await publish(...Array.from({ length: 50 }, (_, i) => String(i)));
    const taking = take(50, async (message) => {
      expect(fake.queue.count('billing', 'out')).toBeLessThanOrEqual(8);
      await message.ack();
    }, { maxMessages: 8 });
    await taking;
    expect(fake.queue.openings[0]).toMatchObject({ maxOutstandingMessages: 8, maxOutstandingBytes: 64 * 1024 * 1024, ackDeadline: { seconds: 60n } });
  });

  test('that were not handed out are given back at the end', async () => {
    await publish('one', 'two', 'three');
    await take(1, async (message) => {
      await until(() => fake.queue.count('billing', 'out') === 3);
      await message.ack();
    });
    await until(() => fake.queue.count('billing', 'ready') === 2);
    expect(fake.queue.count('billing', 'acknowledged')).toBe(1);
  });

  test('can be acknowledged after the end', async () => {
    await publish('one');
    const [message] = await take(1, () => Promise.resolve());
    await message!.ack();
    expect(fake.queue.count('billing', 'acknowledged')).toBe(1);
  });

  test('have their deadlines extended while somebody has them, within a bound', async () => {
    await publish('one');
    await take(1, async (message) => {
      for (const deadlineMs of [50_000, 30_000, 10_000]) {
        environment.advance(20_000);
        await until(() => fake.queue.deadlines.at(-1)?.deadlineMs === deadlineMs);
        await message.extend(7_000); // What was sent before is confirmed then.
      }
      expect(fake.queue.deadlines.every(({ ackId }) => ackId === message.ackId)).toBe(true);
      environment.advance(20_000);
      environment.advance(20_000);
      expect(message.expired).toBe(true);
      await message.ack();
    }, { maxExtensionMs: 70_000 });
    expect(fake.queue.deadlines).toHaveLength(6);
  });

  test('go on by themselves after a lost connection', async () => {
    let taken = 0;
    const taking = take(2, async (message) => {
      await message.ack();
      if (++taken > 1) return;
      for (const stream of fake.queue.pullStreams) stream.emit('error', { code: 14, details: 'going away' });
      await publish('two');
    });
    await publish('one');
    expect((await taking).map((message) => message.text())).toEqual(['one', 'two']);
    expect(fake.queue.openings).toHaveLength(2);
  });

  test('that come again while somebody has them are not handed out twice', async () => {
    await publish('one', 'two');
    let first = true;
    const taken = await take(2, async (message) => {
      if (first) {
        first = false;
        for (const delivery of fake.queue.deliveries.get('billing')!) Object.assign(delivery, { state: 'ready', stream: undefined }); // As a new leader does.
        for (const stream of fake.queue.pullStreams) stream.emit('error', { code: 14, details: 'going away' });
        await until(() => fake.queue.openings.length === 2 && fake.queue.count('billing', 'out') === 2);
      }
      await message.ack();
    });
    expect(taken.map((message) => message.text())).toEqual(['one', 'two']);
    expect(fake.queue.count('billing', 'acknowledged')).toBe(2);
  });

  test('end with Cancelled when the signal fires', async () => {
    const controller = new AbortController();
    const taking = take(2, async (message) => {
      await message.ack();
      controller.abort();
    }, { signal: controller.signal });
    await publish('one');
    await expect(taking).rejects.toMatchObject({ name: 'Cancelled' });
    await until(() => fake.queue.pullStreams.size === 0);
  });

  test('of a subscription that is not there fail at once', async () => {
    await expect(queue.messages('nothing').next()).rejects.toMatchObject({ name: 'NotFound' });
  });
});

describe('an acknowledgement', () => {
  test('whose confirmation is lost is sent again', async () => {
    fake.queue.onAck = (_, stream) => {
      fake.queue.onAck = () => 'own';
      stream!.emit('error', { code: 14, details: 'going away' });
      return undefined;
    };
    const taking = take(1, (message) => message.ack());
    await publish('one');
    await taking;
    expect(fake.queue.count('billing', 'acknowledged')).toBe(1);
  });

  test('that came too late says so', async () => {
    fake.queue.onAck = () => expired;
    const taking = take(1, async (message) => {
      const error = await message.ack().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(FailedPrecondition);
      expect(error).toMatchObject({ reason: 'ACK_EXPIRED' });
    });
    await publish('one');
    await taking;
  });

  test('that is too late after its first answer was lost is unknown', async () => {
    fake.queue.onAck = (_, stream) => {
      fake.queue.onAck = () => expired;
      stream!.emit('error', { code: 14, details: 'going away' });
      return undefined;
    };
    const taking = take(1, async (message) => {
      await expect(message.ack()).rejects.toBeInstanceOf(OutcomeUnknown);
    });
    await publish('one');
    await taking;
  });

  test.each(['on the stream of its message', 'by a unary call'])('%s that does not reach the leader is sent again until somebody leads', async (way) => {
    const unreached: Failure = { reason: 'NO_LEADER', message: 'not reached', retryAfterMs: 100 };
    let left = 3;
    fake.queue.onAck = () => (left-- > 0 ? unreached : 'own');
    await publish('one', 'two');
    if (way === 'by a unary call') await Promise.all((await queue.pull('billing', { maxMessages: 2 })).map((message) => message.ack()));
    else await take(2, (message) => message.ack());
    expect(fake.queue.count('billing', 'acknowledged')).toBe(2);
    expect(left).toBeLessThanOrEqual(-2);
  });

  test('that never reaches a leader fails at its deadline, and says why', async () => {
    fake.queue.onAck = () => {
      environment.advance(1_000);
      return { reason: 'NO_LEADER', message: 'not reached', retryAfterMs: 100 };
    };
    await publish('one');
    const [message] = await queue.pull('billing');
    await expect(message!.ack()).rejects.toMatchObject({ name: 'DeadlineExceeded', message: expect.stringContaining('not reached') });
  });

  test('without an answer that is too late when it is sent again is unknown', async () => {
    fake.queue.onAck = () => {
      fake.queue.onAck = () => expired;
      return { reason: 'OUTCOME_UNKNOWN', message: 'the connection to the leader was lost' };
    };
    await publish('one');
    const [message] = await queue.pull('billing');
    await expect(message!.ack()).rejects.toBeInstanceOf(OutcomeUnknown);
  });

  test('goes with the others of its turn in one message', async () => {
    await publish('one', 'two', 'three');
    const all: ReceivedMessage[] = [];
    await take(3, async (message) => {
      all.push(message);
      if (all.length === 3) await Promise.all(all.map((each) => each.ack()));
    });
    expect(fake.queue.count('billing', 'acknowledged')).toBe(3);
  });
});
