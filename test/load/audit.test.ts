/** A run during which somebody else takes or adds something fails: the totals at its end are checked. */

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { connect, json, type Mesh } from 'txmesh/client';
import { LoadTarget, NO_K6 } from './support.ts';

const BUILD_MS = 30 * 60_000;

describe('the audit', () => {
  let target: LoadTarget | undefined;
  let mesh: Mesh;
  beforeAll(async () => {
    target = await LoadTarget.start();
    if (target !== undefined) mesh = connect(target.server.address);
  }, BUILD_MS);
  afterAll(async () => {
    mesh?.close();
    await target?.stop();
  });

  /** What a run makes, once it has made it. */
  const found = <T>(look: () => Promise<T | undefined>): Promise<T> =>
    vi.waitUntil(look, { timeout: 60_000, interval: 50 }) as Promise<T>;

  const DAMAGE: readonly [workload: string, broken: string, damage: () => Promise<unknown>][] = [
    [
      'counter',
      'adds_strong_surplus',
      async () => {
        const name = await found(async () => {
          for await (const counter of mesh.counters().list({ prefix: 'k6-' })) if (counter.kind === 'STRONG') return counter.name;
          return undefined;
        });
        await mesh.counter(name).add(1);
      },
    ],
    [
      'queue',
      'messages_surplus',
      async () => {
        const { name, topic } = await found(async () => {
          for await (const subscription of mesh.queue().subscriptions.list()) return subscription;
          return undefined;
        });
        expect(name).toContain('readers');
        await mesh.queue().publish(topic, [{ data: 'one too many', attributes: { sentMs: String(Date.now()) } }]);
      },
    ],
    [
      'mixed',
      'wrong_totals',
      async () => {
        const name = await found(async () => {
          for await (const counter of mesh.counters().list({ prefix: 'k6-' })) if (counter.name.endsWith('-sales')) return counter.name;
          return undefined;
        });
        await mesh.counter(name).add(-1);
        await mesh.keyValue('payments').collection(name.replace(/sales$/, 'invoices')).put('forged', json({ price: 1 }));
      },
    ],
  ];

  test.for(DAMAGE)('of %s finds it: %s', async ([workload, broken, damage], context) => {
    if (target === undefined) return context.skip(NO_K6);
    const { code, summary } = await target.run(['smoke', workload, '--duration', '4s'], async () => void (await damage()));
    expect(code).toBe(99);
    expect(summary).toMatchObject({ totalsExact: false, passed: false });
    expect(summary.thresholds.filter(({ held }) => !held).map(({ metric }) => metric)).toContain(broken);
  });
});
