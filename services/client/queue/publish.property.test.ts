import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FakeMesh } from '../../../test/support/fake-mesh.ts';
import { Mesh } from '../mesh.ts';
import { TestEnvironment } from '../testing/test-environment.ts';

/** What the server does with the next message that arrives. */
type Fate = 'publish' | 'refuse' | 'publish, and say that it does not know' | 'break' | 'publish, and break' | 'forget the session';

const fate = fc.constantFrom<Fate>(
  'publish',
  'publish',
  'publish',
  'refuse',
  'publish, and say that it does not know',
  'break',
  'publish, and break',
  'forget the session',
);
const keys = fc.array(fc.constantFrom('', 'a', 'b'), { minLength: 1, maxLength: 30 });

test('whatever is refused, lost or forgotten, every message is published once and each ordering key keeps its order', async () => {
  await fc.assert(
    fc.asyncProperty(keys, fc.array(fate, { maxLength: 40 }), fc.nat(4), async (messages, fates, turns) => {
      const fake = await FakeMesh.start();
      const mesh = new Mesh({ addresses: [fake.address] }, new TestEnvironment());
      const broken = new WeakSet<object>();
      const known = new Set<string>();
      const script = [...fates];
      let expiries = 0;
      fake.queue.onPublish = (call, stream, session) => {
        if (broken.has(stream)) return undefined; // What follows on a stream that broke is not read any more.
        const next = script.shift() ?? 'publish';
        switch (next) {
          case 'publish':
            known.add(session);
            return 'own';
          case 'refuse':
            return { reason: 'NO_LEADER', message: 'no leader', retryAfterMs: 20 };
          case 'publish, and say that it does not know':
            known.add(session);
            fake.queue.execute('orders', session, call);
            return { reason: 'OUTCOME_UNKNOWN', message: 'the reply was lost' };
          case 'forget the session':
            // Only of sessions that it never knew can a server say that nothing was executed in them.
            if (known.has(session) || ++expiries > 2) return 'own';
            return { reason: 'SESSION_EXPIRED', message: 'not known' };
          case 'break':
          case 'publish, and break':
            if (next === 'publish, and break') fake.queue.execute('orders', session, call);
            known.add(session);
            broken.add(stream);
            stream.emit('error', { code: 14, details: 'going away' });
            return undefined;
        }
      };
      const queue = mesh.queue();
      const publishing: Promise<unknown>[] = [];
      for (const [i, orderingKey] of messages.entries()) {
        publishing.push(queue.publish('orders', { data: `${orderingKey}${i}`, orderingKey }));
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(publishing);
      const published = fake.queue.texts('orders');
      const wanted = messages.map((key, i) => `${key}${i}`);
      expect([...published].sort()).toEqual([...wanted].sort());
      for (const key of ['a', 'b']) {
        const ofKey = (texts: string[]) => texts.filter((text) => text.startsWith(key));
        expect(ofKey(published)).toEqual(ofKey(wanted));
      }
      mesh.close();
      fake.stop();
    }),
    { numRuns: 200 },
  );
});
