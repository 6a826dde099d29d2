import { expect, test, vi } from 'vitest';
import { ReceivedMessage, type PullRequest } from '../../gen/txmesh/queue/v1/queue.ts';
import type { Requester } from '../../runtime/partition/term.ts';
import { failureOf } from '../../runtime/router/testing/nodes.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { formatAckId, Routes } from '../codec-ids.ts';
import { pull } from './pull.ts';
import type { QueueReply, QueueServices } from './service.ts';

const REQUEST: PullRequest = {
  participant: '',
  subscription: 's',
  maxMessages: 10,
  maxBytes: 0,
  wait: undefined,
  ackDeadline: undefined,
  partition: undefined,
};

const DELIVERED = { type: 'response', response: { type: 'delivered', messages: [{ generation: 1, position: 1, attempt: 1, publishMs: 0, encoded: new Uint8Array(0) }], incarnation: 1, deadlineMs: 1000 } } as const;

/** A queue of which some partitions are led here and have a message each; nobody leads the others. */
function queueOf(led: readonly number[], partitions: number): QueueServices {
  const term = {
    submit(command: { readonly origin?: Requester<QueueReply> }) {
      command.origin?.onReply(DELIVERED);
    },
  };
  const place = (_: string, partition: number) => (led.includes(partition) ? { type: 'local', term } : { type: 'nobody' });
  const services = {
    kind: { name: 'queue', label: 'queue' },
    view: { service: (name: string) => ({ name, kind: 'queue', partitions }) },
    clock: { nowMs: () => 0 },
    spans: { enabled: false },
    router: { places: { now: place, find: place } },
  };
  return services as unknown as QueueServices;
}

const context = { deadlineMs: Infinity, signal: new AbortController().signal, forwarded: false } as unknown as CallContext;

test.each([
  { wait: undefined },
  { wait: { seconds: 5n, nanos: 0 } },
])('what some partitions gave is not lost because another has no leader ($wait)', async ({ wait }) => {
  // Each pull begins with another partition.
  for (let first = 0; first < 3; first++) {
    const { delivered } = await pull(queueOf([0, 2], 3), { ...REQUEST, wait }, context);
    expect(delivered.map(({ partition }) => partition).toSorted((a, b) => a - b)).toEqual([0, 2]);
  }
});

test('where nothing was given, it says what is wrong', async () => {
  expect((await failureOf(pull(queueOf([], 3), REQUEST, context))).reason).toBe('NO_LEADER');
});

/** A queue of three partitions, all led here, whose commands a test answers. */
function heldQueue() {
  const asked: { readonly partition: number; readonly type: string; give(): void }[] = [];
  const term = (partition: number) => ({
    submit(command: { readonly type: string; readonly request?: { readonly type: string }; readonly origin?: Requester<QueueReply> }) {
      asked.push({ partition, type: command.request?.type ?? command.type, give: () => command.origin!.onReply(DELIVERED) });
    },
  });
  const place = (_: string, partition: number) => ({ type: 'local', term: term(partition) });
  const services = {
    ...queueOf([], 3),
    router: { places: { now: place, find: place } },
  } as unknown as QueueServices;
  return { services, asked };
}

test('when its caller goes, no further partition is asked, and what came goes back', async () => {
  const { services, asked } = heldQueue();
  const gone = new AbortController();
  const failed = failureOf(pull(services, { ...REQUEST, wait: { seconds: 5n, nanos: 0 } }, { ...context, signal: gone.signal }));
  const [first] = asked;
  first!.give();
  await vi.waitUntil(() => asked.length === 2);
  const [, second] = asked;
  gone.abort();
  // It was on its way when the caller went.
  second!.give();
  expect((await failed).reason).toBe('CANCELLED');
  expect(asked.slice(2).map(({ partition, type }) => [partition, type])).toEqual([
    [second!.partition, 'cancel'],
    [second!.partition, 'release'],
    [first!.partition, 'release'],
  ]);
});

test('for a caller that has gone already nobody is asked', async () => {
  const { services, asked } = heldQueue();
  const signal = AbortSignal.abort();
  for (const partition of [undefined, 0])
    expect((await failureOf(pull(services, { ...REQUEST, partition, wait: { seconds: 5n, nanos: 0 } }, { ...context, signal }))).reason).toBe('CANCELLED');
  expect(asked).toEqual([]);
});

test('what another replica gave goes back to it', async () => {
  const gone = new AbortController();
  const ackId = formatAckId(new Routes(2).of(1), { generation: 1, position: 7, attempt: 1, incarnation: 1 });
  const message = ReceivedMessage.encode({ ...ReceivedMessage.decode(new Uint8Array(0)), ackId }).finish();
  const called: { readonly method: string; readonly request: unknown }[] = [];
  const elsewhere = { type: 'remote', leader: { address: 'there' } };
  const unary = async (_: string, { path }: { readonly path: string }, request: unknown): Promise<unknown> => {
    called.push({ method: path.split('/')[2]!, request });
    if (called.length === 2) gone.abort();
    return called.length === 3 ? { failures: [] } : [message];
  };
  const services = {
    ...queueOf([], 2),
    router: { places: { now: () => elsewhere, find: async () => elsewhere }, channels: { unary } },
  } as unknown as QueueServices;
  expect((await failureOf(pull(services, REQUEST, { ...context, signal: gone.signal }))).reason).toBe('CANCELLED');
  await vi.waitUntil(() => called.length === 3);
  expect(called.map(({ method }) => method)).toEqual(['Pull', 'Pull', 'ModifyAckDeadline']);
  expect(called[2]!.request).toMatchObject({ subscription: 's', ackIds: [ackId], ackDeadline: { seconds: 0n, nanos: 0 } });
});
