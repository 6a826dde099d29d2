import { describe, expect, it } from 'vitest';
import { systemClock } from '../clock.ts';
import { storeConformance } from './testing/conformance.ts';
import { LeaseLost } from './errors.ts';
import { MemoryStore } from './memory.ts';
import { prefixRange, type WatchEvent } from './store.ts';
import { ManualClock } from './testing/manual-clock.ts';

storeConformance('memory', async () => new MemoryStore(systemClock));

describe('the memory store under a clock of its own', () => {
  it('a lease that is not renewed ends after its time to live, with its keys, and watchers hear it', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    const lease = await store.grantLease(5000);
    await store.write({ puts: [{ key: 'live/a', value: Buffer.from('1'), lease }] });
    const events: WatchEvent[] = [];
    store.watch(prefixRange('live/'), { onSnapshot: () => undefined, onEvents: (more) => events.push(...more) });
    clock.advance(4999);
    await lease.renew();
    clock.advance(4999);
    expect(await store.get(['live/a'])).not.toEqual([undefined]);
    clock.advance(1);
    expect(await store.get(['live/a'])).toEqual([undefined]);
    expect(events).toEqual([{ type: 'delete', key: 'live/a' }]);
    await expect(lease.renew()).rejects.toThrow(LeaseLost);
  });

  it('a renewal after the deadline fails even where the expiry has not been noticed', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    const lease = await store.grantLease(5000);
    clock.jump(5000);
    await expect(lease.renew()).rejects.toThrow(LeaseLost);
  });

  it('holds hundreds of thousands of keys, whatever the order they come in', async () => {
    const store = new MemoryStore(new ManualClock());
    const count = 200_000;
    const value = Buffer.from('1');
    for (let index = 0; index < count; index++) {
      // A step that shares no factor with the count visits every number once.
      await store.write({ puts: [{ key: `k/${String((index * 7919) % count).padStart(6, '0')}`, value }] });
    }
    const { entries, more } = await store.scan(prefixRange('k/'), { limit: count });
    expect(more).toBe(false);
    expect(entries.every(({ key }, index) => Number(key.slice(2)) === index)).toBe(true);
    expect(entries).toHaveLength(count);
  });
});
