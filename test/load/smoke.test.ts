/** Every workload for a short time: limits held, totals exact. */

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Collector } from './collector.ts';
import { LoadTarget, NO_K6 } from './support.ts';

const BUILD_MS = 30 * 60_000;

describe('k6 against a server', () => {
  let target: LoadTarget | undefined;
  beforeAll(async () => {
    target = await LoadTarget.start();
  }, BUILD_MS);
  afterAll(() => target?.stop());

  test.for([
    ['transactions', 'transfers_missing'],
    ['queue', 'messages_missing'],
    ['counter', 'adds_queued_missing'],
  ])('smoke of %s holds its limits, and every total is exact', async ([workload, ledger], context) => {
    if (target === undefined) return context.skip(NO_K6);
    const { code, summary, output } = await target.run(['smoke', workload!, '--duration', '8s']);
    expect(output).not.toContain('level=error');
    expect(code).toBe(0);
    expect(summary).toMatchObject({ profile: 'smoke', workload, totalsExact: true, passed: true });
    expect(summary.thresholds).toContainEqual({ metric: ledger, threshold: 'count<=0', held: true });
    expect(summary.metrics['iterations']!['count']).toBeGreaterThan(20);
  });

  test('the mixed order flow does, too, and its metrics go to OpenTelemetry', async (context) => {
    if (target === undefined) return context.skip(NO_K6);
    const collector = await Collector.start();
    onTestFinished(() => collector.stop());
    const { code, summary, output } = await target.run(['smoke', 'mixed', '--duration', '20s', '--telemetry', collector.address]);
    expect(output).not.toContain('level=error');
    expect(code).toBe(0);
    expect(summary).toMatchObject({ totalsExact: true, passed: true });
    expect(summary.metrics['transactions_committed']!['count']).toBeGreaterThan(20);
    const sent = Buffer.concat(collector.requests);
    for (const name of ['txmesh-load', 'k6_operation_duration', 'k6_transactions_committed']) expect(sent.includes(name), name).toBe(true);
  });
});
