/** Runs during which answers are lost and connections cut: nothing is lost, and nothing counted twice. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FaultServiceService as faults, type Fault } from '../../services/gen/txmesh/admin/v1/fault.ts';
import { systemClock } from '../../services/runtime/clock.ts';
import { Channels } from '../../services/runtime/transport/channels.ts';
import { LoadTarget, NO_K6 } from './support.ts';

const BUILD_MS = 30 * 60_000;
const QUEUE = 'txmesh.queue.v1.QueueService';
const LOST = ['txmesh.coordinator.v1.CoordinatorService/Execute', `${QUEUE}/Publish`, `${QUEUE}/Acknowledge`, 'txmesh.counter.v1.CounterService/Add'];

describe('a mesh that loses answers', () => {
  const channels = new Channels({ clock: systemClock });
  let target: LoadTarget | undefined;
  beforeAll(async () => {
    target = await LoadTarget.start(['--fault-injection', 'true']);
    for (const [i, method] of target === undefined ? [] : LOST.entries()) {
      await inject({ name: `lost-${i}`, target: calls(method), effect: { $case: 'error', value: { code: 'UNKNOWN', message: '' } } });
      await inject({ name: `cut-${i}`, target: calls(method), effect: { $case: 'dropConnection', value: true }, probability: 0.05 });
    }
  }, BUILD_MS);
  afterAll(async () => {
    channels.close();
    await target?.stop();
  });

  const calls = (method: string): Fault['target'] => ({ $case: 'calls', value: { method, participant: '' } });
  const inject = (change: Partial<Fault>) => {
    const fault: Fault = {
      name: '',
      target: undefined,
      latency: undefined,
      effect: undefined,
      afterExecution: true,
      probability: 0.2,
      duration: { seconds: 3600n, nanos: 0 },
      expireTime: undefined,
      injections: 0,
      ...change,
    };
    return channels.unary(target!.server.address, faults.setFault, { fault });
  };

  test.for(['queue', 'counter', 'mixed'])('keeps every total of %s exact', async (workload, context) => {
    if (target === undefined) return context.skip(NO_K6);
    const { code, summary, output } = await target.run(['smoke', workload, '--duration', '6s']);
    expect(code, output).toBe(0);
    expect(summary).toMatchObject({ totalsExact: true, passed: true });
    expect(summary.metrics['operation_retries']!['count']).toBeGreaterThan(0);
    expect((await channels.unary(target.server.address, faults.listFaults, {})).faults).toHaveLength(LOST.length * 2);
  });
});
