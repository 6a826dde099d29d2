import fc from 'fast-check';
import { expect, test } from 'vitest';
import { branch, Harness, id, message, subscription, tag, textOf, topic } from './testing/harness.ts';
import type { ConfigureOperation, DeliveredMessage, NewMessage, QueueOperation } from './types.ts';

const RUNS = 300;
const TOPICS = ['a', 'b'];
const SUBSCRIPTIONS = ['s', 't', 'u'];

const newMessage: fc.Arbitrary<Omit<NewMessage, 'encoded'> & { text: string }> = fc.record({
  text: fc.constantFrom('x', 'y\nkind=big', 'z'.repeat(2000)),
  orderingKey: fc.constantFrom('', '', 'k', 'l'),
  priority: fc.constantFrom(0, 0, 5, 9),
  deliverAtMs: fc.constantFrom(0, 0, 0, 1_700_000_005_000),
  delayMs: fc.constantFrom(0, 0, 0, 700),
  timeToLiveMs: fc.constantFrom(0, 0, 0, 3000),
  deduplicationId: fc.constantFrom('', '', '', 'd', 'e'),
});
const topicName = fc.constantFrom(...TOPICS);
const subscriptionName = fc.constantFrom(...SUBSCRIPTIONS);

/** What a random run does, step by step; the harness checks P3, K7 costs and the store's rules after each. */
const action = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('publish' as const), topic: topicName, messages: fc.array(newMessage, { minLength: 1, maxLength: 4 }), session: fc.nat(3), first: fc.integer({ min: 1, max: 20 }) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pull' as const), subscription: subscriptionName, most: fc.constantFrom(1, 3, 100), waits: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('settle' as const), subscription: subscriptionName, which: fc.nat(), how: fc.constantFrom('ack' as const, 'ack' as const, 'nack' as const, 'extend' as const, 'release' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('prepare' as const), n: fc.nat(6), topic: topicName, messages: fc.array(newMessage, { maxLength: 2 }), acks: fc.array(fc.tuple(subscriptionName, fc.nat()), { maxLength: 2 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('commit' as const, 'abort' as const), n: fc.nat(6) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('configure' as const), what: fc.nat(11), topic: topicName, subscription: subscriptionName, variant: fc.nat(5) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 300, 1000, 2500, 12_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
);
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

class Run {
  readonly h: Harness;
  private readonly out = new Map<string, DeliveredMessage[]>();
  private attempts = 0;
  private readonly prepared = new Map<number, number>();

  constructor(together: number) {
    this.h = new Harness({ queue: { cacheBytes: 3000, sessionRetentionMs: 5000, memoryBytes: 5000 }, settings: { retentionMs: 20_000 } });
    this.configure(0, 'a', 's', 0);
    this.configure(0, 'b', 's', 1);
    this.configure(4, 'a', 's', 0);
    this.configure(4, 'b', 't', 3);
    this.h.together = together;
  }

  perform(each: Action): void {
    const { h } = this;
    switch (each.do) {
      case 'publish':
        h.publishAs(each.session === 0 ? '' : id(each.session), each.first, each.topic, ...each.messages.map(toMessage));
        return;
      case 'pull':
        h.pull(each.subscription, { maxMessages: each.most, untilMs: each.waits ? h.nowMs + 2000 : 0 });
        for (const { reply } of h.replies.splice(0)) {
          if (reply.type === 'response' && reply.response.type === 'delivered') this.deliveries(each.subscription).push(...reply.response.messages);
        }
        return;
      case 'settle': {
        const delivered = this.pick(each.subscription, each.which);
        if (delivered === undefined) return;
        if (each.how === 'ack') h.ack(each.subscription, [delivered]);
        else if (each.how === 'release') h.ask({ type: 'release', subscription: each.subscription, tags: [tag(delivered)] });
        else h.modify(each.subscription, [delivered], each.how === 'nack' ? 0 : 5000);
        return;
      }
      case 'prepare': {
        const operations: QueueOperation[] = each.messages.map((content) => ({ type: 'publish', topic: each.topic, message: toMessage(content) }));
        for (const [name, which] of each.acks) {
          const delivered = this.pick(name, which);
          if (delivered !== undefined) operations.push({ type: 'acknowledge', subscription: name, tag: tag(delivered) });
        }
        if (operations.length === 0) return;
        const attempt = ++this.attempts;
        if (h.prepare(branch(each.n, attempt), operations, { deadlineMs: h.nowMs + 100 }) === 'yes') this.prepared.set(each.n, attempt);
        return;
      }
      case 'commit':
      case 'abort': {
        const attempt = this.prepared.get(each.n);
        if (attempt === undefined) return;
        this.prepared.delete(each.n);
        h.tell(each.do, branch(each.n, attempt));
        return;
      }
      case 'configure':
        return this.configure(each.what, each.topic, each.subscription, each.variant);
      case 'pass':
        return h.pass(each.ms);
      case 'restart':
        return h.restart();
    }
  }

  private configure(what: number, topicOf: string, name: string, variant: number): void {
    const { h } = this;
    const limits = [{}, { maxMessages: 5, overflow: 'dropOldest' as const }, { acknowledgedAgeMs: 3000 }, { maxBytes: 4000 }, { maxAgeMs: 4000 }, { storage: 'memory' as const }][variant]!;
    const modes = [{}, { mode: 'sequential' as const }, { mode: 'priority' as const, ageingStepMs: 500 }, { exactlyOnce: true }, { filter: 'attributes:kind' }, { deadLetter: { topic: 'b', maxDeliveryAttempts: 2 }, minimumBackoffMs: 200 }][variant]!;
    const shared = { ackDeadlineMs: 2000, startFrom: variant % 2 === 0 ? ('beginning' as const) : ('end' as const) };
    const operations: ConfigureOperation[] = [
      { type: 'createTopic', config: topic(topicOf, limits) },
      { type: 'updateTopic', name: topicOf, version: 0, changes: { maxAgeMs: 5000, maxMessages: 3 + variant, overflow: variant % 2 === 0 ? 'reject' : 'dropOldest' } },
      { type: 'deleteTopic', name: topicOf },
      { type: 'purgeTopic', name: topicOf },
      { type: 'createSubscription', config: subscription(name, topicOf, { ...shared, ...modes }) },
      { type: 'updateSubscription', name, version: variant, changes: { ageingStepMs: 100, deadLetter: variant % 2 === 0 ? undefined : { topic: topicOf, maxDeliveryAttempts: 1 } } },
      { type: 'deleteSubscription', name },
      { type: 'detachSubscription', name },
      { type: 'seek', subscription: name, target: { type: 'time', timeMs: h.nowMs - 1000 * variant } },
      { type: 'seek', subscription: name, target: variant > 2 ? { type: 'end' } : { type: 'snapshot', snapshot: 'n' } },
      { type: 'createSnapshot', config: { name: 'n', subscription: name, topic: topicOf, createMs: h.nowMs, expireMs: h.nowMs + 5000 } },
      { type: 'deleteSnapshot', name: 'n' },
    ];
    h.local(operations[what]!);
  }

  private deliveries(name: string): DeliveredMessage[] {
    let found = this.out.get(name);
    if (found === undefined) this.out.set(name, (found = []));
    return found;
  }

  private pick(name: string, which: number): DeliveredMessage | undefined {
    const found = this.deliveries(name);
    return found.length === 0 ? undefined : found[which % found.length];
  }
}

function toMessage({ text, ...more }: Omit<NewMessage, 'encoded'> & { text: string }): NewMessage {
  return message(text, more);
}

test('P3, K7: after any commands a reload gives what is in memory, and what is left can be collected', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), fc.constantFrom(1, 1, 2, 5), (actions, together) => {
      const run = new Run(together);
      for (const each of actions) run.perform(each);
      run.h.together = 1;
      run.h.run({ type: 'tick' });
      run.h.pass(30_000);
      // Nobody waits for ever.
      for (const name of SUBSCRIPTIONS) {
        const [subscriptionFound] = [run.h.query({ type: 'subscription', name })];
        if (subscriptionFound.type === 'subscriptions' && subscriptionFound.subscriptions.length > 0) expect(run.h.statistics(name).waitingPulls).toBe(0);
      }
    }),
    { numRuns: RUNS },
  );
}, 120_000);

interface Published {
  readonly position: number;
  readonly key: string;
}

/** What consumers do with one subscription of a topic; what they see is compared with what was published. */
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('publish' as const), keys: fc.array(fc.constantFrom('', 'k', 'l', 'm'), { minLength: 1, maxLength: 5 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('pull' as const), most: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('ack' as const, 'ack' as const, 'nack' as const), which: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(500, 1100) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
);

test.each([
  { mode: 'parallel', exactlyOnce: true },
  { mode: 'sequential', exactlyOnce: true },
  { mode: 'priority', exactlyOnce: true },
  { mode: 'sequential', exactlyOnce: false },
] as const)('Q2, Q5, Q6: no message is lost, none is out twice, order within a key ($mode, exactly once $exactlyOnce)', ({ mode, exactlyOnce }) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const h = new Harness({ queue: { cacheBytes: 500 } });
      h.compares = false;
      h.configure(
        { type: 'createTopic', config: topic('a') },
        { type: 'createSubscription', config: subscription('s', 'a', { mode, exactlyOnce, ackDeadlineMs: 1000 }) },
      );
      const published: Published[] = [];
      const acknowledged = new Set<number>();
      /** Deliveries with when they end. */
      const out = new Map<number, { message: DeliveredMessage; endMs: number }>();
      const take = (most: number): void => {
        for (const each of h.pull('s', { maxMessages: most })) {
          const { position } = each;
          expect(acknowledged.has(position)).toBe(false);
          const before = out.get(position);
          if (before !== undefined && exactlyOnce) expect(before.endMs).toBeLessThanOrEqual(h.nowMs);
          if (mode === 'sequential') {
            const { key } = published[position - 1]!;
            // All earlier ones of this key are acknowledged.
            if (key !== '') for (const other of published) if (other.key === key && other.position < position) expect(acknowledged.has(other.position)).toBe(true);
          }
          out.set(position, { message: each, endMs: h.nowMs + 1000 });
        }
      };
      for (const each of steps) {
        switch (each.do) {
          case 'publish':
            for (const [i, position] of h.publish('a', ...each.keys.map((orderingKey, n) => message(`m${n}`, { orderingKey, priority: n }))).entries()) {
              published.push({ position: position as number, key: each.keys[i]! });
            }
            break;
          case 'pull':
            take(each.most);
            break;
          case 'ack':
          case 'nack': {
            const open = [...out.values()].filter(({ message: { position }, endMs }) => !acknowledged.has(position) && (endMs > h.nowMs || !exactlyOnce));
            const chosen = open[each.which % Math.max(1, open.length)];
            if (chosen === undefined) break;
            if (each.do === 'ack') {
              expect(h.ack('s', [chosen.message])).toEqual([]);
              acknowledged.add(chosen.message.position);
            } else {
              expect(h.modify('s', [chosen.message], 0)).toEqual([]);
              chosen.endMs = h.nowMs;
            }
            break;
          }
          case 'pass':
            h.pass(each.ms);
            break;
          case 'restart':
            h.restart();
        }
      }
      // In the end everything is delivered and acknowledged.
      for (let i = 0; acknowledged.size < published.length; i++) {
        if (i > published.length + 5) throw new Error(`lost: ${published.filter(({ position }) => !acknowledged.has(position)).map(({ position }) => position).join()}`);
        h.pass(1100);
        take(1000);
        for (const { message: each, endMs } of out.values()) {
          if (acknowledged.has(each.position) || endMs <= h.nowMs) continue;
          expect(h.ack('s', [each])).toEqual([]);
          acknowledged.add(each.position);
        }
      }
      expect(h.statistics('s')).toMatchObject({ backlogMessages: 0, inFlight: 0 });
    }),
    { numRuns: RUNS },
  );
}, 120_000);

test('Q10: of what arrives, nobody who waits gets more than one message more than another who has room', () => {
  const consumer = fc.record({ most: fc.integer({ min: 1, max: 20 }), bytes: fc.integer({ min: 1, max: 400 }) });
  fc.assert(
    fc.property(fc.array(consumer, { minLength: 1, maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 }), (consumers, sizes) => {
      const h = new Harness();
      h.compares = false;
      h.configure({ type: 'createTopic', config: topic('a') }, { type: 'createSubscription', config: subscription('s', 'a') });
      consumers.forEach(({ most, bytes }, i) => {
        h.pull('s', { maxMessages: most, maxBytes: bytes, untilMs: h.nowMs + 1000 }, `consumer ${i}`);
      });
      h.publish('a', ...sizes.map((size) => message('x'.repeat(size))));
      const got = consumers.map((_, i) => {
        const reply = h.replies.find(({ to }) => to === `consumer ${i}`)?.reply;
        return reply?.type === 'response' && reply.response.type === 'delivered' ? reply.response.messages : [];
      });
      const counts = got.map(({ length }) => length);
      const highest = Math.max(...counts);
      consumers.forEach(({ most, bytes }, i) => {
        const used = got[i]!.reduce((sum, { encoded }) => sum + encoded.length, 0);
        const hasRoom = counts[i]! < most && used + Math.max(...sizes) <= bytes;
        if (hasRoom) expect(highest - counts[i]!).toBeLessThanOrEqual(1);
      });
      expect(got.flat().map(textOf).length).toBe(new Set(got.flat().map(({ position }) => position)).size);
    }),
    { numRuns: RUNS },
  );
});
