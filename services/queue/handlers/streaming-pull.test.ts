import { expect, test, vi } from 'vitest';
import { systemClock } from '../../runtime/clock.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { Requester } from '../../runtime/partition/term.ts';
import type { CallContext, Duplex } from '../../runtime/transport/service.ts';
import type { ConsumerFrame } from '../codec-frames.ts';
import type { QueueReply, QueueServices } from './service.ts';
import { PullSession } from './streaming-pull.ts';

const PARTITIONS = 2;
const FRAME = { participant: '', subscription: 's', ackDeadlineMs: undefined, maxMessages: 4, maxBytes: 0, sequence: 0, acknowledge: [], modify: [] } as unknown as ConsumerFrame;
const NO_LEADER = new FailureError({ reason: 'NO_LEADER', message: 'nobody leads it', retryAfterMs: 100 });

/** A queue whose every pull brings a message that others acknowledge at once; some partitions lose their leaders after it. */
function queueThatLoses(lost: readonly number[]): { readonly services: QueueServices; readonly pulled: number[] } {
  const pulled = Array.from({ length: PARTITIONS }, () => 0);
  const termOf = (partition: number) => ({
    submit({ origin }: { readonly origin?: Requester<QueueReply> }) {
      const messages = [{ generation: 1, position: ++pulled[partition]!, attempt: 1, publishMs: 0, encoded: new Uint8Array(1) }];
      setImmediate(() => origin?.onReply({ type: 'response', response: { type: 'delivered', incarnation: 1, deadlineMs: Infinity, messages } }));
    },
  });
  const isLed = (partition: number): boolean => !lost.includes(partition) || pulled[partition] === 0;
  const place = (_: string, partition: number) => (isLed(partition) ? { type: 'local', term: termOf(partition) } : { type: 'nobody' });
  const unary = async ({ partition }: { partition: number }, run: (term: unknown) => Promise<unknown>) => {
    if (!isLed(partition)) throw NO_LEADER;
    return run(termOf(partition));
  };
  const ask = async (_term: unknown, _type: string, _context: CallContext, _changes: boolean, make: () => { readonly request: { readonly tags: readonly unknown[] } }) => ({
    response: { type: 'checked', settled: make().request.tags.map((_, i) => i) },
  });
  const services = {
    kind: { name: 'queue', label: 'queue' },
    view: { service: (name: string) => ({ name, kind: 'queue', partitions: PARTITIONS }) },
    clock: systemClock,
    spans: { enabled: false },
    router: { places: { now: place, find: place }, unary, ask },
  };
  return { services: services as unknown as QueueServices, pulled };
}

test('what a partition without a leader has delivered does not keep the room of the others', async () => {
  const { services, pulled } = queueThatLoses([1]);
  const consumer = Promise.withResolvers<void>();
  const calls = {
    receive: (take: (frame: ConsumerFrame) => void) => {
      take(FRAME);
      return consumer.promise;
    },
    write: () => true,
    drained: async () => undefined,
  };
  const context = { deadlineMs: Infinity, signal: new AbortController().signal, forwarded: false };
  const session = new PullSession({ services, requests: undefined }, calls as unknown as Duplex<ConsumerFrame, Buffer>, context as unknown as CallContext).run();
  await vi.waitUntil(() => pulled[0]! > 20, { timeout: 10_000 });
  expect(pulled[1]).toBe(1);
  consumer.resolve();
  await session;
});
