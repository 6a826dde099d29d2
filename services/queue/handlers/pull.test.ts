import { expect, test } from 'vitest';
import type { PullRequest } from '../../gen/txmesh/queue/v1/queue.ts';
import type { Requester } from '../../runtime/partition/term.ts';
import { failureOf } from '../../runtime/router/testing/nodes.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
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

/** A queue of which some partitions are led here and have a message each; nobody leads the others. */
function queueOf(led: readonly number[], partitions: number): QueueServices {
  const message = { generation: 1, position: 1, attempt: 1, publishMs: 0, encoded: new Uint8Array(0) };
  const term = {
    submit(command: { readonly origin?: Requester<QueueReply> }) {
      command.origin?.onReply({ type: 'response', response: { type: 'delivered', messages: [message], incarnation: 1, deadlineMs: 1000 } });
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
