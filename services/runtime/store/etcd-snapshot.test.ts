import { describe, expect, it } from 'vitest';
import { StoreUnavailable } from './errors.ts';
import { EtcdFailed, type EtcdConnection } from './etcd-connection.ts';
import type { EtcdFailure } from './etcd-errors.ts';
import { EtcdKeys } from './etcd-keys.ts';
import { takeEtcdSnapshot } from './etcd-snapshot.ts';

const MIB = 2 ** 20;
const keys = new EtcdKeys('txmesh/');

interface RangeQuestion {
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly limit: number;
  readonly count_only?: boolean;
}

/** An etcd with records of these sizes, in bytes, in ascending order, whose answers fail above a size. */
function etcdOf(records: readonly (readonly [string, number])[], largestAnswer = Infinity, failure: EtcdFailure['type'] = 'unknown') {
  const stored = records.map(([key, bytes]) => ({ key: keys.encode(key), value: { length: bytes } }));
  const asked = { answers: 0, failed: 0, largestBytes: 0 };
  const call = async (_service: string, _method: string, { key, range_end: end, limit, count_only: countOnly }: RangeQuestion) => {
    const header = { revision: '7' };
    if (countOnly === true) return { header, kvs: [], more: false };
    const hit = stored.filter((each) => Buffer.compare(each.key, key) >= 0 && Buffer.compare(each.key, end) < 0);
    const kvs = hit.slice(0, limit);
    const bytes = kvs.reduce((sum, { value }) => sum + value.length, 0);
    asked.answers++;
    asked.largestBytes = Math.max(asked.largestBytes, bytes);
    if (bytes > largestAnswer) {
      asked.failed++;
      throw new EtcdFailed({ type: failure, message: 'context deadline exceeded' });
    }
    return { header, kvs, more: hit.length > kvs.length };
  };
  return { connection: { call } as unknown as EtcdConnection, asked };
}

async function readAll(connection: EtcdConnection): Promise<string[]> {
  const snapshot = await takeEtcdSnapshot({ connection, keys, description: 'etcd', onClose: async () => undefined });
  const found: string[] = [];
  for await (const page of snapshot.pages()) found.push(...page.map(({ key }) => key));
  return found;
}

function recordsOf(prefix: string, count: number, bytes: number): (readonly [string, number])[] {
  return Array.from({ length: count }, (_, i) => [`${prefix}${i.toString().padStart(6, '0')}`, bytes] as const);
}

describe('a snapshot of etcd', () => {
  const kinds = [
    ...recordsOf('cluster', 1, 100),
    ...recordsOf('data/queue/0000/cursor/', 2500, 100),
    ...recordsOf('data/queue/0000/message/t/', 1500, 256 * 1024),
    ...recordsOf('data/queue/0001/cursor/', 2500, 100),
    ...recordsOf('data/queue/0001/message/t/', 100, 256 * 1024),
    ...recordsOf('service/', 3, 20),
  ];

  it('asks for little where other records begin, which may be larger', async () => {
    const { connection, asked } = etcdOf(kinds);
    expect(await readAll(connection)).toEqual(kinds.map(([key]) => key));
    expect(asked.largestBytes).toBeLessThanOrEqual(8 * MIB);
    expect(asked.answers).toBeLessThan(200);
  });

  it('asks for less where an answer is too large to come in time', async () => {
    const mixed = [...recordsOf('data/stock/0000/key/a', 3000, 50), ...recordsOf('data/stock/0000/key/b', 500, MIB)];
    const { connection, asked } = etcdOf(mixed, 16 * MIB);
    expect(await readAll(connection)).toEqual(mixed.map(([key]) => key));
    expect(asked.failed).toBeGreaterThan(0);
    expect(asked.failed).toBeLessThan(10);
  });

  it.each([
    ['of which not even one record comes', 'unknown', 6],
    ['that is not there', 'not-executed', 1],
    ['that has compacted its revision', 'compacted', 1],
  ] as const)('%s ends with what is wrong', async (_, failure, most) => {
    const { connection, asked } = etcdOf(kinds, 10, failure);
    await expect(readAll(connection)).rejects.toThrow(StoreUnavailable);
    expect(asked.answers).toBeLessThanOrEqual(most);
  });
});
