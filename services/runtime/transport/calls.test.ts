import { EventEmitter, once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as grpc from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { Admission } from './admission.ts';
import { streamCall, type OpenStream } from './calls.ts';
import type { CallContext } from './service.ts';
import { until } from './testing/mesh.ts';

/** Bytes in use once everything that nobody needs is gone. */
function heapBytes(): number {
  setFlagsFromString('--expose_gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

it('an answer that was written leaves nothing behind, however long its stream goes on', async () => {
  let sent = 0;
  let wanted = 0;
  const go = new EventEmitter();
  const watch = async function* (_request: unknown, { signal }: CallContext): AsyncGenerator<object> {
    while (!signal.aborted) {
      if (sent === wanted) await once(go, 'more', { signal });
      else yield { number: ++sent };
    }
  };
  const call = Object.assign(new EventEmitter(), {
    request: {},
    metadata: new grpc.Metadata(),
    cancelled: false,
    writableEnded: false,
    getPeer: () => 'here',
    getDeadline: () => Infinity,
    write: () => true,
    end: () => void (call.writableEnded = true),
  });
  const limits = { maxCalls: 10, maxStreams: 10, maxControlCalls: 10, maxControlStreams: 10 };
  const streams = new Set<OpenStream>();
  const serve = streamCall('/a.B/Watch', watch, { admission: new Admission(limits, Math.random), streams, log: () => undefined });
  serve(call as unknown as Parameters<typeof serve>[0]);
  const send = async (answers: number): Promise<number> => {
    wanted += answers;
    go.emit('more');
    await until(() => sent === wanted);
    return heapBytes();
  };
  // What is compiled and cached on the way is not what is measured.
  await send(10_000);
  const before = await send(1000);
  expect((await send(100_000)) - before).toBeLessThan(8 * 2 ** 20);
  const ended = once(call, 'error');
  for (const stream of streams) stream.end({ reason: 'DRAINING', message: 'over' });
  expect(await ended).toMatchObject([{ details: 'over' }]);
  await until(() => streams.size === 0);
});
