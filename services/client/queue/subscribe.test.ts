import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { aborted, FakeMesh } from '../../../test/support/fake-mesh.ts';
import { failureToServiceError } from '../../runtime/errors/status.ts';
import { Mesh } from '../mesh.ts';
import { json } from '../operations.ts';
import { TestEnvironment, until } from '../testing/test-environment.ts';
import type { Queue } from './queue.ts';
import type { MessageHandler, SubscribeOptions } from './subscribe.ts';

let fake: FakeMesh;
let environment: TestEnvironment;
let mesh: Mesh;
let queue: Queue;
let controller: AbortController;
let errors: unknown[];

beforeEach(async () => {
  fake = await FakeMesh.start();
  environment = new TestEnvironment();
  mesh = new Mesh({ addresses: [fake.address] }, environment);
  queue = mesh.queue();
  controller = new AbortController();
  errors = [];
  fake.queue.subscribe('billing', 'orders');
});
afterEach(() => {
  controller.abort();
  mesh.close();
  fake.stop();
});

const publish = (...texts: string[]) => queue.publish('orders', texts);
const acknowledged = () => fake.queue.count('billing', 'acknowledged');

function subscribe(handler: MessageHandler, options: SubscribeOptions = {}): Promise<void> {
  return queue.subscribe('billing', handler, { signal: controller.signal, onError: (error) => void errors.push(error), ...options });
}

/** Ends the subscribing, which has to have no further trouble. */
async function end(subscribing: Promise<void>): Promise<void> {
  controller.abort();
  await subscribing;
}

describe('a handler', () => {
  test('has its effects together with the acknowledgement', async () => {
    const subscribing = subscribe(async (message, tx) => {
      const known = await tx.get('payments', 'totals', 'all');
      tx.put('payments', 'totals', 'all', json((known?.json<number>() ?? 0) + Number(message.text())));
      tx.publish('results', `done ${message.text()}`);
    }, { concurrency: 1 });
    await publish('1', '2', '3');
    await until(() => acknowledged() === 3);
    await end(subscribing);
    expect(fake.text('payments', 'totals', 'all')).toBe('6');
    expect(fake.queue.texts('results')).toEqual(['done 1', 'done 2', 'done 3']);
    expect(errors).toEqual([]);
    const routes = fake.executed[0]!.operations.filter(({ participant }) => participant === 'queue').map(({ routingKey }) => routingKey);
    expect(routes).toEqual(['r0', 'r0']);
  });

  test('that does nothing just acknowledges', async () => {
    const subscribing = subscribe(() => Promise.resolve());
    await publish('1');
    await until(() => acknowledged() === 1);
    await end(subscribing);
    expect(fake.executed).toHaveLength(0);
  });

  test('need not be asynchronous', async () => {
    const handle = (() => undefined) as unknown as MessageHandler;
    const subscribing = subscribe(handle);
    await publish('1');
    await until(() => acknowledged() === 1);
    await end(subscribing);
    expect(errors).toEqual([]);
  });

  test('runs again after a conflict, and has its effects once', async () => {
    fake.onExecute = () => {
      fake.onExecute = () => 'own';
      fake.set('payments', 'totals', 'all', '10');
      return 'own';
    };
    let runs = 0;
    const subscribing = subscribe(async (_, tx) => {
      runs++;
      const known = await tx.get('payments', 'totals', 'all');
      tx.put('payments', 'totals', 'all', json((known?.json<number>() ?? 0) + 1));
    });
    await publish('1');
    await until(() => acknowledged() === 1);
    await end(subscribing);
    expect(runs).toBe(2);
    expect(fake.text('payments', 'totals', 'all')).toBe('11');
  });

  test('that throws has no effects, and the message is given back at once', async () => {
    const subscribing = subscribe(async (message, tx) => {
      tx.publish('results', message.text());
      if (message.deliveryAttempt === 1) throw new Error('not yet');
    });
    await publish('1');
    await until(() => acknowledged() === 1);
    await end(subscribing);
    expect(errors).toMatchObject([{ message: 'not yet' }]);
    expect(fake.queue.deadlines.map(({ deadlineMs }) => deadlineMs)).toEqual([0]);
    expect(fake.queue.texts('results')).toEqual(['1']);
  });

  test('whose transaction is refused for good gives the message back', async () => {
    fake.onExecute = ({ transactionId }) => {
      fake.onExecute = () => 'own';
      return { outcome: aborted(transactionId, { reason: 'REFUSED_BY_PARTICIPANT', message: 'sold out' }) };
    };
    const subscribing = subscribe(async (_, tx) => tx.publish('results', 'x'));
    await publish('1');
    await until(() => acknowledged() === 1);
    await end(subscribing);
    expect(errors).toMatchObject([{ name: 'TransactionAborted', reason: 'REFUSED_BY_PARTICIPANT' }]);
  });

  test('runs again when the mesh could not do it, without giving the message back', async () => {
    fake.onExecute = () => {
      fake.onExecute = () => 'own';
      return { outcome: aborted(fake.executed[0]!.transactionId, { reason: 'OVERLOADED', message: 'too much is waiting' }) };
    };
    const subscribing = subscribe(async (_, tx) => tx.publish('results', 'x'), { attempts: 1 });
    await publish('1');
    await until(() => acknowledged() === 1);
    await end(subscribing);
    expect(errors).toMatchObject([{ reason: 'OVERLOADED' }]);
    expect(fake.queue.deadlines).toEqual([]);
  });

  test('leaves a message alone that somebody else has acknowledged', async () => {
    const subscribing = subscribe(async (message, tx) => {
      for (const delivery of fake.queue.deliveries.get('billing')!) if (delivery.id === message.id) delivery.state = 'acknowledged';
      tx.publish('results', 'x');
    });
    await publish('1');
    await until(() => fake.executed.length === 1);
    await end(subscribing);
    expect(errors).toEqual([]);
    expect(fake.queue.texts('results')).toEqual([]);
  });

  test('whose outcome is unknown is settled before anything else happens to the message', async () => {
    fake.onExecute = ({ transactionId, operations }) => {
      fake.decide(transactionId, operations);
      return { failure: { reason: 'INTERNAL', message: 'a defect' } };
    };
    const subscribing = subscribe(async (_, tx) => tx.publish('results', 'x'));
    await publish('1');
    await until(() => fake.aborted.length === 1);
    await end(subscribing);
    expect(errors).toEqual([]);
    expect(fake.queue.deadlines).toEqual([]);
    expect(fake.queue.texts('results')).toEqual(['x']);
  });
});

test('at most `concurrency` handlers run at a time', async () => {
  let running = 0;
  let most = 0;
  const subscribing = subscribe(async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
  }, { concurrency: 3 });
  await publish(...Array.from({ length: 40 }, (_, i) => String(i)));
  await until(() => acknowledged() === 40);
  await end(subscribing);
  expect(most).toBe(3);
  expect(fake.queue.openings[0]!.maxOutstandingMessages).toBe(6);
});

test('a message keeps its deadline while its handler runs', async () => {
  const finish = Promise.withResolvers<void>();
  let begun = 0;
  const subscribing = subscribe(() => {
    begun++;
    return finish.promise;
  });
  await publish('1');
  await until(() => begun === 1);
  environment.advance(20_000);
  await until(() => fake.queue.deadlines.length === 1);
  finish.resolve();
  await until(() => acknowledged() === 1);
  await end(subscribing);
});

describe('the end', () => {
  test('waits for the handlers that run, and gives the rest back', async () => {
    const finish = Promise.withResolvers<void>();
    let begun = 0;
    const subscribing = subscribe(async (_, tx) => {
      begun++;
      await finish.promise;
      tx.publish('results', 'x');
    }, { concurrency: 2 });
    await publish('1', '2', '3', '4', '5');
    await until(() => begun === 2 && fake.queue.count('billing', 'out') === 4);
    controller.abort();
    await until(() => fake.queue.count('billing', 'ready') === 3);
    finish.resolve();
    await subscribing;
    expect(acknowledged()).toBe(2);
    expect(begun).toBe(2);
  });

  test('does not wait for a handler for ever', async () => {
    let begun = 0;
    const subscribing = subscribe(() => {
      begun++;
      return new Promise(() => undefined);
    }, { drainMs: 60_000 });
    await publish('1');
    await until(() => begun === 1);
    controller.abort();
    environment.advance(60_000);
    await subscribing;
    expect(errors).toMatchObject([{ name: 'Cancelled' }]);
  });

  test('comes with the server’s error although a handler hangs', async () => {
    let begun = 0;
    const subscribing = subscribe(() => {
      begun++;
      return new Promise(() => undefined);
    }, { drainMs: 60_000 });
    const ended = expect(subscribing).rejects.toMatchObject({ name: 'NotFound' });
    await publish('1');
    await until(() => begun === 1);
    const gone = failureToServiceError({ reason: 'SUBSCRIPTION_NOT_FOUND', message: 'there is no subscription billing' }) as Error;
    for (const stream of fake.queue.pullStreams) stream.emit('error', gone);
    // The workers that wait hear of it, and the time to drain begins.
    const deadlines = environment.waitingCount;
    await until(() => environment.waitingCount > deadlines);
    environment.advance(60_000);
    await ended;
    expect(errors).toMatchObject([{ name: 'Cancelled' }]);
  });

  test('comes with the server’s error when going on is no use', async () => {
    await expect(queue.subscribe('nothing', () => Promise.resolve())).rejects.toMatchObject({ name: 'NotFound' });
  });
});
