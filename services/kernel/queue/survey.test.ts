import { describe, expect, test } from 'vitest';
import { PositionSet } from './positions.ts';
import { Harness, message, subscription, topic } from './testing/harness.ts';

function setUp(): Harness {
  const h = new Harness();
  expect(h.configure({ type: 'createTopic', config: topic('orders') }, { type: 'createSubscription', config: subscription('billing', 'orders') })).toBe(undefined);
  return h;
}

/** How long the subscription's longest waiting message has waited, in milliseconds. */
function waited(h: Harness): number | undefined {
  const [seen] = h.resource.survey(h.nowMs);
  return seen!.waitingSinceMs === undefined ? undefined : h.nowMs - seen!.waitingSinceMs;
}

describe('the longest wait of a subscription', () => {
  test('is that of the oldest message, where none is delayed', () => {
    const h = setUp();
    expect(waited(h)).toBe(undefined);
    h.publish('orders', message('a'));
    h.pass(400);
    h.publish('orders', message('b'));
    h.pass(100);
    expect(waited(h)).toBe(500);
    h.ack('billing', h.pull('billing', { maxMessages: 1 }));
    expect(waited(h)).toBe(100);
    h.ack('billing', h.pull('billing'));
    expect(waited(h)).toBe(undefined);
  });

  test('begins when a delayed message is due', () => {
    const h = setUp();
    h.publish('orders', message('a', { delayMs: 1000 }));
    h.pass(999);
    expect(waited(h), 'nobody is late yet').toBe(undefined);
    h.pass(501);
    expect(waited(h)).toBe(500);
    h.restart();
    expect(waited(h)).toBe(500);
  });

  test('is that of a message behind others that are not due', () => {
    const h = setUp();
    h.publish('orders', message('late', { delayMs: 60_000 }));
    h.publish('orders', message('later', { delayMs: 90_000 }), message('now'));
    h.pass(200);
    expect(waited(h)).toBe(200);
    h.ack('billing', h.pull('billing'));
    expect(waited(h)).toBe(undefined);
    h.publish('orders', message('next'));
    h.pass(50);
    expect(waited(h)).toBe(50);
  });

  test('is that of the one that was due first, whatever the order in which they were published', () => {
    const h = setUp();
    h.publish('orders', message('a', { delayMs: 500 }), message('b', { delayMs: 100 }));
    h.publish('orders', message('c', { delayMs: 300 }));
    h.pass(150);
    h.publish('orders', message('d'));
    h.pass(850);
    expect(waited(h)).toBe(900);
  });

  test('is found behind many that are acknowledged', () => {
    const h = setUp();
    h.publish('orders', message('late', { delayMs: 3_600_000 }));
    for (let i = 0; i < 12; i++) h.publish('orders', ...Array.from({ length: 1000 }, () => message('x')));
    for (let part = h.pull('billing'); part.length > 0; part = h.pull('billing')) expect(h.ack('billing', part)).toEqual([]);
    h.publish('orders', message('next'));
    h.pass(70);
    expect(waited(h)).toBe(70);
  });
});

test('a set of positions steps over what is full', () => {
  const set = new PositionSet(3);
  expect([set.nextMissing(1), set.nextMissing(9)]).toEqual([4, 9]);
  for (let position = 5; position <= 20_000; position++) set.add(position);
  expect([set.nextMissing(4), set.nextMissing(5), set.nextMissing(20_002)]).toEqual([4, 20_001, 20_002]);
  set.remove(9000);
  expect(set.nextMissing(5)).toBe(9000);
});
