import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CoordinatorServiceService as coordinator,
  State,
  TransactionEvent_Type as Type,
  type Position,
  type TransactionEvent,
  type WatchTransactionsRequest,
  type WatchTransactionsResponse,
} from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { partitionOf } from '../../kernel/hash.ts';
import { ABSENT, failureOf, newId, putOp, startMesh, until, type Meshed } from '../../runtime/router/testing/nodes.ts';

const PARTITIONS = 3;
let mesh: Meshed;

beforeAll(async () => {
  mesh = await startMesh({ partitions: PARTITIONS });
});
afterAll(() => mesh.close());

async function execute(key: string, refused = false): Promise<string> {
  const transactionId = newId();
  const operations = [putOp('inventory', key, '1', refused ? ABSENT : undefined)];
  await mesh.call(coordinator.execute, { transactionId, operations, timeout: undefined, firstTryTime: undefined, mode: 0 });
  return transactionId;
}

/** One watch, and what it has told. */
class Watcher {
  readonly events: TransactionEvent[] = [];
  readonly positions = new Map<number, Position>();
  private readonly stream: AsyncGenerator<WatchTransactionsResponse>;
  private readonly controller = new AbortController();

  constructor(fields: Partial<WatchTransactionsRequest> = {}, node = mesh.nodes[0]!) {
    const request = { transactionId: '', positions: [], fromStart: false, ...fields };
    this.stream = mesh.channels.stream(node.address, coordinator.watchTransactions, request, { signal: this.controller.signal });
  }

  private async until(found: () => boolean): Promise<this> {
    if (found()) return this;
    await until(this.stream, ({ events, position }) => {
      this.events.push(...events);
      this.positions.set(position!.partition, position!);
      return found();
    });
    return this;
  }

  /** Every partition has said from where it is watched. */
  started(partitions = PARTITIONS): Promise<this> {
    return this.until(() => this.positions.size === partitions);
  }

  /** Every id is decided. */
  decided(...ids: string[]): Promise<this> {
    return this.until(() => ids.every((id) => this.outcomes().has(id)));
  }

  outcomes(): Map<string, Type> {
    const decisions = this.events.filter(({ type }) => type === Type.COMMIT || type === Type.FAIL);
    return new Map(decisions.map(({ transaction, type }) => [transaction!.transactionId, type]));
  }

  decisions(): string[] {
    return this.events.filter(({ type }) => type === Type.COMMIT || type === Type.FAIL).map(({ transaction }) => transaction!.transactionId);
  }

  async close(): Promise<void> {
    this.controller.abort();
    await this.stream.return(undefined).catch(() => undefined);
  }
}

describe('WatchTransactions', () => {
  test('tells requests, votes and outcomes as they happen', async () => {
    const watcher = await new Watcher().started();
    const good = await execute('w1');
    const bad = await execute('w1', true);
    await watcher.decided(good, bad);
    expect([watcher.outcomes().get(good), watcher.outcomes().get(bad)]).toEqual([Type.COMMIT, Type.FAIL]);
    const types = watcher.events.filter(({ transaction }) => transaction!.transactionId === good).map(({ type }) => type);
    expect(types.slice(0, 3)).toEqual([Type.REQUEST, Type.ACKNOWLEDGE, Type.COMMIT]);
    const failed = watcher.events.find(({ type, transaction }) => type === Type.FAIL && transaction!.transactionId === bad)!;
    expect([failed.transaction!.state, failed.transaction!.cause?.code]).toEqual([State.ABORTED, 10]);
    await watcher.close();
  });

  test('resumes after any position without a gap and without a duplicate', async () => {
    const first = await new Watcher().started();
    const before = [...first.positions.values()];
    const ids: string[] = [];
    for (let i = 0; i < 12; i++) ids.push(await execute(`r${i}`));
    await first.decided(...ids);
    await first.close();
    const resumed = new Watcher({ positions: before });
    const more = [await execute('r12'), await execute('r13')];
    await resumed.decided(...ids, ...more);
    expect(resumed.decisions().sort()).toEqual([...ids, ...more].sort());
    await resumed.close();
    const after = new Watcher({ positions: [...first.positions.values()] });
    await after.decided(...more);
    expect(after.decisions().sort()).toEqual(more.sort());
    await after.close();
  });

  test('while decisions keep coming, replay and what follows meet without a seam', async () => {
    const start = await new Watcher().started();
    const from = [...start.positions.values()];
    await start.close();
    const ids: string[] = [];
    const working = (async () => {
      for (let i = 0; i < 150; i++) ids.push(await execute(`m${i % 7}`));
    })();
    while (ids.length < 40) await execute('m');
    const watcher = new Watcher({ positions: from });
    await working;
    await watcher.decided(...ids);
    const decisions = watcher.decisions();
    expect(new Set(decisions).size).toBe(decisions.length);
    await watcher.close();
  });

  test('from the start, everything that is kept is replayed', async () => {
    const id = await execute('s1');
    const watcher = await new Watcher({ fromStart: true }).decided(id);
    expect(watcher.events.every(({ type }) => type === Type.COMMIT || type === Type.FAIL)).toBe(true);
    await watcher.close();
  });

  test('of one transaction, only its events are told', async () => {
    const id = await execute('o1');
    await execute('o2');
    const watcher = await new Watcher({ transactionId: id, fromStart: true }).decided(id);
    expect(watcher.decisions()).toEqual([id]);
    expect(watcher.positions.size).toBe(1);
    await watcher.close();
  });

  test.each([
    ['a partition that there is not', { positions: [{ partition: PARTITIONS, sequence: 0 }] }, 'INVALID_FIELD'],
    ['a partition twice', { positions: [{ partition: 0, sequence: 0 }, { partition: 0, sequence: 0 }] }, 'INVALID_FIELD'],
    ['a position that is ahead', { positions: [{ partition: 0, sequence: 1e9 }] }, 'INVALID_FIELD'],
    ['an id of another form', { transactionId: 'x' }, 'INVALID_FIELD'],
  ])('%s is refused', async (_, fields, reason) => {
    expect((await failureOf(new Watcher(fields).decided('never'))).reason).toBe(reason);
  });
});

test('a position whose decisions are collected is refused, naming the oldest that is kept', async () => {
  const short = await startMesh({ partitions: 1, retentionMs: 1000 });
  try {
    const run = () =>
      short.call(coordinator.execute, { transactionId: '', operations: [putOp('inventory', 'a', '1')], timeout: undefined, firstTryTime: undefined, mode: 0 });
    // The log is collected by age, so it is written to until its beginning is gone.
    const request = { transactionId: '', positions: [{ partition: 0, sequence: 0 }], fromStart: false };
    const refusal = async (): Promise<unknown> => {
      await run();
      const stream = short.channels.stream(short.nodes[0]!.address, coordinator.watchTransactions, request);
      const failure = await stream.next().then(() => undefined, (error: { failure: unknown }) => error.failure);
      await stream.return(undefined);
      return failure;
    };
    // Not as fast as it can: HTTP/2 closes a session whose streams are cancelled by the thousand.
    await expect
      .poll(refusal, { interval: 100, timeout: 30_000 })
      .toMatchObject({ reason: 'POSITION_COMPACTED', message: expect.stringMatching(/oldest position to continue after is [1-9]/) });
  } finally {
    await short.close();
  }
}, 60_000);

test('ids of this test are spread over the partitions', () => {
  const partitions = Array.from({ length: 100 }, () => partitionOf(newId(), PARTITIONS));
  expect(new Set(partitions).size).toBe(PARTITIONS);
});
