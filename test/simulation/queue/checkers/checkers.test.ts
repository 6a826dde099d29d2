import { describe, expect, test } from 'vitest';
import { History, keyOf } from '../../history.ts';
import type { QueueEffect } from '../../../../services/kernel/queue/types.ts';
import type { PreparedBranch } from '../../world/prepared.ts';
import type { DeliveredMessage, PublishedMessage, Settlement } from '../history.ts';
import { QUEUE } from '../plan.ts';
import { checkCompleteness } from './completeness.ts';
import { checkDeadLetters } from './dead-letters.ts';
import { checkDeliveries } from './deliveries.ts';
import { checkExactlyOnce } from './exactly-once.ts';
import { Facts } from './facts.ts';
import { checkFairness } from './fairness.ts';
import { checkOrder } from './order.ts';
import { checkPriority } from './priority.ts';
import { checkPublishing } from './publishing.ts';
import { checkSequential } from './sequential.ts';
import { checkAcknowledgedOnce, checkUntouched } from './transactional.ts';

const AT = { partition: 0, generation: 1 };

/** A history of partition 0, made by hand: one clock, one leader, batches that take no time. */
class Story {
  readonly history = new History();

  publish(payload: string, startMs: number, endMs: number, more: Partial<PublishedMessage> = {}): this {
    this.history.queue.published.set(payload, {
      topic: 'orders', partition: 0, payload, orderingKey: 'a', priority: 0, deliverAtMs: 0, timeToLiveMs: 0,
      deduplicated: false, writer: undefined, startMs, endMs, position: undefined, ...more,
    });
    return this;
  }

  store(payload: string, position: number, fromMs: number, untilMs = Infinity, topic = 'orders'): this {
    this.history.queue.stored.push({ topic, partition: 0, position, payload, publishMs: fromMs, fromMs, untilMs });
    return this;
  }

  /** Published and stored at this time, known right after. */
  message(payload: string, position: number, atMs: number, more: Partial<PublishedMessage> = {}): this {
    return this.publish(payload, atMs - 1, atMs + 1, { position, ...more }).store(payload, position, atMs);
  }

  deliver(subscription: string, payload: string, position: number, atMs: number, more: Partial<DeliveredMessage> = {}): this {
    this.history.queue.delivered.push({
      ...AT, subscription, position, payload, attempt: 1, publishMs: 0, deadlineMs: 500,
      machine: 'r1', epoch: 1, steppedMs: atMs, gatheredMs: atMs, leftMs: atMs, nowMs: atMs, ...more,
    });
    return this;
  }

  acknowledge(subscription: string, position: number, startMs: number, endMs: number, more: Partial<Settlement> = {}): this {
    this.history.queue.settlements.push({
      ...AT, type: 'acknowledge', subscription, position, attempt: 1, deadlineMs: 0, startMs, endMs, state: 'done', ...more,
    });
    return this;
  }

  /** A transaction acknowledges it and is told this. */
  handle(id: string, subscription: string, payload: string, position: number, startMs: number, outcome: 'committed' | 'aborted', atMs: number): this {
    const writer = keyOf(id, 0);
    this.history.contents.set(writer, { id, variant: 0, kind: 'execute', startMs, writes: [], reads: [], publishes: [] });
    this.history.queue.staged.push({ ...AT, subscription, position, payload, attempt: 1, writer, startMs });
    this.history.settle(id, 0, outcome, atMs);
    return this;
  }

  /** A transaction that acknowledges it is prepared. */
  prepare(subscription: string, position: number, fromMs: number, untilMs: number): this {
    const effect: QueueEffect = { writes: [{ type: 'acknowledge', topic: 'orders', subscription, generation: 1, position }] };
    const branch: PreparedBranch = { service: QUEUE, partition: 0, transactionId: 't', effect, fromMs, untilMs };
    this.history.queue.prepared = [...this.history.queue.prepared, branch];
    return this;
  }

  pull(got: number, room: number, steppedMs: number, leftMs: number): this {
    const times = { machine: 'r1', epoch: 1, steppedMs, gatheredMs: leftMs, leftMs, nowMs: leftMs };
    this.history.queue.pulls.push({ subscription: 'handled', partition: 0, room, got, ...times });
    return this;
  }

  check(checker: (facts: Facts) => string[]): string[] {
    return checker(new Facts(this.history));
  }
}

describe('publishing', () => {
  test('accepts what is stored once, where it was told', () => {
    expect(new Story().message('m', 1, 10).check(checkPublishing)).toEqual([]);
  });

  test('sees a message that is lost, elsewhere, twice, or told too early', () => {
    expect(new Story().publish('m', 0, 5, { position: 1 }).check(checkPublishing)).toHaveLength(1);
    expect(new Story().publish('m', 0, 5, { position: 1 }).store('m', 2, 4).check(checkPublishing)).toHaveLength(1);
    expect(new Story().message('m', 1, 10).store('m', 2, 12).check(checkPublishing)).toHaveLength(1);
    expect(new Story().publish('m', 0, 5, { position: 1 }).store('m', 1, 6).check(checkPublishing)).toHaveLength(1);
  });

  test('sees a transaction that publishes to a topic in memory', () => {
    const story = new Story().handle('t', 'handled', 'x', 7, 0, 'committed', 10);
    expect(story.publish('m', 1, Infinity, { topic: 'volatile', writer: keyOf('t', 0) }).check(checkPublishing)).toHaveLength(1);
  });

  test('sees what nobody published', () => {
    expect(new Story().store('m', 1, 6).check(checkPublishing)).toHaveLength(1);
  });
});

describe('order', () => {
  test('accepts any order of what was published at the same time, or under different keys', () => {
    expect(new Story().publish('m', 0, 9).store('m', 2, 5).publish('n', 1, 8).store('n', 1, 5).check(checkOrder)).toEqual([]);
    expect(new Story().message('m', 2, 10).message('n', 1, 20, { orderingKey: 'b' }).check(checkOrder)).toEqual([]);
  });

  test('sees a message that overtakes what was known before it began', () => {
    expect(new Story().message('m', 2, 10).message('n', 1, 20).check(checkOrder)).toHaveLength(1);
  });

  test('sees one that overtakes a transaction whose commit was told', () => {
    const story = new Story().handle('t', 'handled', 'x', 7, 0, 'committed', 10);
    story.publish('m', 1, Infinity, { writer: keyOf('t', 0) }).store('m', 2, 30).message('n', 1, 20);
    expect(story.check(checkOrder)).toHaveLength(1);
  });
});

describe('deliveries', () => {
  test('accept a message that is stored, and again while nobody knows that it is acknowledged', () => {
    expect(new Story().message('m', 1, 10).deliver('handled', 'm', 1, 11).deliver('handled', 'm', 1, 500).acknowledge('handled', 1, 490, 510).check(checkDeliveries)).toEqual([]);
  });

  test('see one that is not stored, not yet, or stored as another', () => {
    expect(new Story().publish('m', 0, 9).deliver('handled', 'm', 1, 11).check(checkDeliveries)).toHaveLength(1);
    expect(new Story().message('m', 1, 10).deliver('handled', 'm', 1, 9).check(checkDeliveries)).toHaveLength(1);
    expect(new Story().message('m', 1, 10).message('n', 2, 10).deliver('handled', 'm', 2, 11).check(checkDeliveries)).toHaveLength(1);
  });

  test('see one after its acknowledgement was told, directly or with a commit', () => {
    expect(new Story().message('m', 1, 10).acknowledge('handled', 1, 20, 30).deliver('handled', 'm', 1, 31).check(checkDeliveries)).toHaveLength(1);
    expect(new Story().message('m', 1, 10).handle('t', 'handled', 'm', 1, 20, 'committed', 30).deliver('handled', 'm', 1, 31).check(checkDeliveries)).toHaveLength(1);
  });

  test('accept one that is delivered again after a seek', () => {
    expect(new Story().message('m', 1, 10).acknowledge('handled', 1, 20, 30).deliver('handled', 'm', 1, 31, { generation: 2 }).check(checkDeliveries)).toEqual([]);
  });

  test('see one after its time to live', () => {
    const story = (): Story => new Story().message('m', 1, 10, { timeToLiveMs: 20 });
    expect(story().deliver('handled', 'm', 1, 29).check(checkDeliveries)).toEqual([]);
    expect(story().deliver('handled', 'm', 1, 30).check(checkDeliveries)).toHaveLength(1);
  });

  test('see one that comes early, and one that the filter does not want', () => {
    expect(new Story().message('m', 1, 10, { deliverAtMs: 50 }).deliver('handled', 'm', 1, 49).check(checkDeliveries)).toHaveLength(1);
    expect(new Story().message('m', 1, 10).deliver('even', 'm', 1, 49).check(checkDeliveries)).toHaveLength(1);
  });
});

describe('messages in transactions', () => {
  test('accept one commit, whatever else was tried', () => {
    const story = new Story().handle('t', 'handled', 'm', 1, 0, 'aborted', 10).handle('u', 'handled', 'm', 1, 5, 'committed', 12);
    expect(story.check(checkAcknowledgedOnce)).toEqual([]);
  });

  test('see two commits that acknowledge one message', () => {
    const story = new Story().handle('t', 'handled', 'm', 1, 0, 'committed', 10).handle('u', 'handled', 'm', 1, 5, 'committed', 12);
    expect(story.check(checkAcknowledgedOnce)).toHaveLength(1);
  });

  test('see a commit of what was known to be acknowledged', () => {
    const story = new Story().acknowledge('handled', 1, 0, 4).handle('u', 'handled', 'm', 1, 5, 'committed', 12);
    expect(story.check(checkAcknowledgedOnce)).toHaveLength(1);
  });

  test('see a message that is delivered, removed or moved between prepare and outcome', () => {
    const story = (): Story => new Story().message('m', 1, 10).prepare('handled', 1, 20, 30);
    expect(story().deliver('handled', 'm', 1, 19).deliver('handled', 'm', 1, 31).check(checkUntouched)).toEqual([]);
    expect(story().deliver('handled', 'm', 1, 25).check(checkUntouched)).toHaveLength(1);
    expect(new Story().store('m', 1, 10, 25).prepare('handled', 1, 20, 30).check(checkUntouched)).toHaveLength(1);
    const moved = story();
    moved.history.queue.generations.set('handled/0', [{ generation: 2, fromMs: 25 }]);
    expect(moved.check(checkUntouched)).toHaveLength(1);
  });
});

describe('sequential mode', () => {
  const two = (): Story => new Story().message('m', 1, 10).message('n', 2, 11);

  test('accepts the next one when the one before may be acknowledged', () => {
    expect(two().deliver('ordered', 'm', 1, 20).acknowledge('ordered', 1, 25, Infinity, { state: 'asked' }).deliver('ordered', 'n', 2, 26).check(checkSequential)).toEqual([]);
    expect(two().deliver('ordered', 'm', 1, 20).handle('t', 'ordered', 'm', 1, 21, 'committed', 40).deliver('ordered', 'n', 2, 26).check(checkSequential)).toEqual([]);
  });

  test('sees one that is delivered before the one before it is acknowledged', () => {
    expect(two().deliver('ordered', 'n', 2, 20).check(checkSequential)).toHaveLength(1);
    expect(two().handle('t', 'ordered', 'm', 1, 15, 'aborted', 18).deliver('ordered', 'n', 2, 20).check(checkSequential)).toHaveLength(1);
  });
});

describe('priority mode', () => {
  test('accepts the higher one first, and the lower one when it has waited', () => {
    const story = new Story().message('low', 1, 10).message('high', 2, 900, { priority: 2 });
    expect(story.deliver('ranked', 'low', 1, 1000, { publishMs: 10 }).check(checkPriority)).toEqual([]);
  });

  test('sees one that is delivered while a higher one waits', () => {
    const story = new Story().message('low', 1, 10).message('high', 2, 11, { priority: 2 });
    expect(story.deliver('ranked', 'low', 1, 20, { publishMs: 10 }).check(checkPriority)).toHaveLength(1);
  });

  test('sees one that starves', () => {
    const story = new Story().message('low', 1, 10).message('high', 2, 4000, { priority: 2 });
    expect(story.deliver('ranked', 'high', 2, 4001, { publishMs: 4000 }).check(checkPriority)).toHaveLength(1);
  });
});

describe('exactly-once delivery', () => {
  const out = (): Story => new Story().message('m', 1, 10).deliver('once', 'm', 1, 20);

  test('accepts a delivery after the deadline, or after it was given back', () => {
    expect(out().deliver('once', 'm', 1, 521, { attempt: 2 }).check(checkExactlyOnce)).toEqual([]);
    expect(out().acknowledge('once', 1, 30, 40, { type: 'giveBack' }).deliver('once', 'm', 1, 41, { attempt: 2 }).check(checkExactlyOnce)).toEqual([]);
  });

  test('sees a message that is out twice, also over a failover and after an extension', () => {
    expect(out().deliver('once', 'm', 1, 500, { attempt: 2 }).check(checkExactlyOnce)).toHaveLength(1);
    expect(out().deliver('once', 'm', 1, 400, { attempt: 2, epoch: 2 }).check(checkExactlyOnce)).toHaveLength(1);
    const extended = out().acknowledge('once', 1, 300, 310, { type: 'extend', deadlineMs: 1000 });
    expect(extended.deliver('once', 'm', 1, 900, { attempt: 2 }).check(checkExactlyOnce)).toHaveLength(1);
  });

  test('sees an acknowledgement of an earlier delivery that was taken', () => {
    expect(out().deliver('once', 'm', 1, 521, { attempt: 2 }).acknowledge('once', 1, 530, 540).check(checkExactlyOnce)).toHaveLength(1);
  });
});

describe('fair distribution', () => {
  test('accepts shares that differ by one, and by more where there is no room', () => {
    expect(new Story().pull(2, 9, 0, 10).pull(1, 9, 0, 10).pull(1, 1, 0, 10).pull(0, 9, 10, 30).check(checkFairness)).toEqual([]);
    expect(new Story().pull(5, 9, 0, 10).pull(1, 1, 0, 10).check(checkFairness)).toEqual([]);
  });

  test('sees one that waits and gets two less', () => {
    expect(new Story().pull(3, 9, 0, 10).pull(1, 9, 0, 10).check(checkFairness)).toHaveLength(1);
    expect(new Story().pull(2, 9, 0, 10).pull(5, 9, 5, 30).check(checkFairness)).toHaveLength(1);
  });
});

describe('dead letters', () => {
  const dead = (): Story => new Story().message('m', 1, 10).deliver('fragile', 'm', 1, 20);

  test('accept one that was delivered in vain', () => {
    expect(dead().store('m', 1, 900, Infinity, 'dead').check(checkDeadLetters)).toEqual([]);
  });

  test('see one that was acknowledged before, or is delivered after', () => {
    expect(dead().acknowledge('fragile', 1, 30, 40).store('m', 1, 900, Infinity, 'dead').check(checkDeadLetters)).toHaveLength(1);
    expect(dead().handle('t', 'fragile', 'm', 1, 30, 'committed', 950).store('m', 1, 900, Infinity, 'dead').check(checkDeadLetters)).toHaveLength(1);
    expect(dead().store('m', 1, 900, Infinity, 'dead').deliver('fragile', 'm', 1, 901).check(checkDeadLetters)).toHaveLength(1);
  });
});

describe('completeness', () => {
  const SUBSCRIPTIONS = ['handled', 'ordered', 'ranked', 'once', 'replayed', 'fragile'];
  const everywhere = (story: Story, but = ''): Story => {
    for (const subscription of SUBSCRIPTIONS) {
      if (subscription !== but) story.history.queue.drained.push({ ...AT, subscription, position: 1, payload: 'm' });
    }
    return story;
  };

  test('accepts what is acknowledged, dead or still there', () => {
    expect(everywhere(new Story().message('m', 1, 10)).check(checkCompleteness)).toEqual([]);
    const acknowledged = new Story().message('m', 1, 10).deliver('once', 'm', 1, 20).acknowledge('once', 1, 30, 40);
    expect(everywhere(acknowledged, 'once').check(checkCompleteness)).toEqual([]);
    const handled = new Story().message('m', 1, 10).handle('t', 'handled', 'm', 1, 20, 'committed', 30);
    expect(everywhere(handled, 'handled').check(checkCompleteness)).toEqual([]);
  });

  test('sees what never comes, and what was delivered and never comes again', () => {
    expect(everywhere(new Story().message('m', 1, 10), 'once').check(checkCompleteness)).toHaveLength(1);
    const refused = new Story().message('m', 1, 10).deliver('once', 'm', 1, 20).acknowledge('once', 1, 30, 40, { state: 'refused' });
    expect(everywhere(refused, 'once').check(checkCompleteness)).toHaveLength(1);
    const aborted = new Story().message('m', 1, 10).handle('t', 'handled', 'm', 1, 20, 'aborted', 30);
    expect(everywhere(aborted, 'handled').check(checkCompleteness)).toHaveLength(1);
  });
});
