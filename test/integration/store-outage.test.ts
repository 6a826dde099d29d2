/**
 * A real etcd that is killed: whoever looks at the metrics sees that nobody leads, and that clients are refused,
 * although the replicas still know who led last; and that all is well once it is back.
 */

import { expect, onTestFinished, test } from 'vitest';
import { connect, put } from 'txmesh/client';
import { startEtcd } from '../../deploy/local/etcd.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { freePort } from './support/free-port.ts';
import { serve } from './support/processes.ts';
import { scrape } from './support/scrape.ts';
import { until } from './support/until.ts';

const BOUND_MS = 60_000;
const PARTITIONS = 2;
const STREAM = 'txmesh.coordinator.v1.CoordinatorService/ExecuteStream';
const FAULTS = ['UNAVAILABLE', 'UNKNOWN', 'DEADLINE_EXCEEDED', 'INTERNAL'];

test('in an outage of etcd every partition is without a leader, and what the SDK asks for is seen to fail', async (context) => {
  const tools = await requireGoTools('etcd');
  if (tools === undefined) return context.skip('etcd is not there and could not be built');
  const etcd = await startEtcd({ etcd: tools.etcd });
  onTestFinished(() => etcd.stop());
  const common = ['--store', 'etcd', '--etcd-endpoints', etcd.endpoints.join(','), '--lease', '2s', '--partitions', String(PARTITIONS), '--queues', '', '--counters', ''];
  const ports = [await freePort(), await freePort()] as const;
  const coordinator = await serve([...common, '--participants', '', '--metrics-port', String(ports[0])]);
  await serve([...common, '--coordinator', 'false', '--participants', 'inventory', '--metrics-port', String(ports[1])]);

  const pages = () => Promise.all(ports.map((port) => scrape(port)));
  /** Partitions without a leader, by service and replica. */
  const leaderless = async (): Promise<number[]> => (await pages()).flatMap((page) => page.of('txmesh_partition_leaderless').map(({ value }) => value));
  const led = async (): Promise<number> => (await pages()).reduce((sum, page) => sum + page.sum('txmesh_partition_led')!, 0);
  const failed = async (): Promise<number> =>
    (await pages()).reduce((sum, page) => FAULTS.reduce((all, status) => all + page.sum('txmesh_request_finished_total', { grpc_method: STREAM, grpc_status: status })!, sum), 0);
  const all = (value: number) => async (): Promise<boolean> => {
    const seen = await leaderless();
    return seen.length === 4 && seen.every((each) => each === value);
  };

  const mesh = connect(coordinator.address);
  onTestFinished(() => mesh.close());
  const execute = (timeoutMs: number) => mesh.execute({ operations: [put('inventory', 'stock', 'book', '1')], timeoutMs });
  await until('everything is led, as both replicas know', BOUND_MS, all(0), leaderless);
  expect(await led()).toBe(2 * PARTITIONS);
  expect((await execute(BOUND_MS)).committed).toBe(true);
  const before = await failed();

  await etcd.members[0]!.kill();
  await until('nobody leads anything, as both replicas know', BOUND_MS, all(PARTITIONS), leaderless);
  expect(await led()).toBe(0);
  await expect(execute(2_000)).rejects.toThrow();
  await until('the failure is counted', BOUND_MS, async () => (await failed()) > before);

  etcd.members[0]!.start();
  await until('everything is led again', BOUND_MS, all(0), leaderless);
  expect((await execute(BOUND_MS)).committed).toBe(true);
});
