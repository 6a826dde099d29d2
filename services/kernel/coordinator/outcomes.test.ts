import { describe, expect, it } from 'vitest';
import { acknowledge, branch, Harness, idAt, START_MS, votes } from './testing/harness.ts';

const ID = idAt(START_MS, 1);
const ONE = [branch('inventory')];

function commit(mesh: Harness, id = ID, acknowledged = true): void {
  mesh.execute(id, ONE);
  mesh.answer(mesh.take(), votes.yes);
  if (acknowledged) mesh.answer(mesh.take(), acknowledge);
  mesh.take();
}

describe('the same id', () => {
  it('with the same content gets the same outcome, without being executed again (T10)', () => {
    const mesh = new Harness();
    commit(mesh);
    expect(mesh.execute(ID, ONE)).toMatchObject({ transaction: { state: 'COMMITTED' } });
    expect(mesh.take()).toEqual([]);
    mesh.restart();
    expect(mesh.execute(ID, ONE)).toMatchObject({ transaction: { state: expect.stringMatching(/^COMMITT/) } });
  });

  it('with other content is refused, while preparing and afterwards (T10)', () => {
    const mesh = new Harness();
    mesh.execute(ID, ONE);
    const reused = { failure: { reason: 'TRANSACTION_ID_REUSED' } };
    expect(mesh.execute(ID, ONE, { fingerprint: 'other' })).toMatchObject(reused);
    mesh.answer(mesh.take(), votes.yes);
    expect(mesh.execute(ID, ONE, { fingerprint: 'other' })).toMatchObject(reused);
    mesh.answer(mesh.take(), acknowledge);
    expect(mesh.execute(ID, ONE, { fingerprint: 'other' })).toMatchObject(reused);
  });

  it('while preparing joins the callers that wait, up to a bound (P8, T10)', () => {
    const mesh = new Harness();
    mesh.execute(ID, ONE, { origin: 'first' });
    mesh.execute(ID, ONE, { origin: 'second' });
    for (let i = 0; i < 14; i++) mesh.execute(ID, ONE);
    expect(mesh.execute(ID, ONE)).toMatchObject({ failure: { reason: 'OVERLOADED' } });
    const prepares = mesh.take();
    expect(prepares).toHaveLength(1);
    mesh.answer(prepares, votes.yes);
    for (const origin of ['first', 'second']) expect(mesh.replyTo(origin)).toMatchObject({ transaction: { state: 'COMMITTING' } });
  });

  it('does not commit after a client heard that it was aborted, also after a failover (T2)', () => {
    const mesh = new Harness();
    mesh.execute(ID, ONE);
    const prepares = mesh.take();
    expect(mesh.step({ type: 'abort', transactionId: ID })).toMatchObject({ transaction: { state: 'ABORTED' } });
    mesh.answer(prepares, votes.yes);
    expect(mesh.take()).toMatchObject([{ type: 'abort' }]);
    mesh.restart();
    expect(mesh.execute(ID, ONE)).toMatchObject({ transaction: { state: 'ABORTED', cause: { reason: 'ABORTED_BY_REQUEST' } } });
    expect(mesh.take()).toEqual([]);
  });
});

describe('abort by id', () => {
  it('of an unknown id is recorded, so that a late copy cannot commit (T2, T4)', () => {
    const mesh = new Harness();
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({ failure: { reason: 'TRANSACTION_NOT_FOUND' } });
    expect(mesh.step({ type: 'abort', transactionId: ID })).toMatchObject({ transaction: { state: 'ABORTED' } });
    expect(mesh.writes).toEqual([`put transaction/${ID}`, 'put log/00000000000001']);
    expect(mesh.execute(ID, ONE)).toMatchObject({ transaction: { state: 'ABORTED' } });
  });

  it('of a committed one returns what was decided', () => {
    const mesh = new Harness();
    commit(mesh, ID, false);
    expect(mesh.step({ type: 'abort', transactionId: ID })).toMatchObject({ transaction: { state: 'COMMITTING' } });
  });

  it('without a record is possible only as a deliberate bug', () => {
    const mesh = new Harness({}, ['abort-not-durable']);
    expect(mesh.step({ type: 'abort', transactionId: ID })).toMatchObject({ transaction: { state: 'ABORTED' } });
    expect(mesh.store.size).toBe(0);
  });
});

describe('ids and clocks (T9)', () => {
  it('refuses an id more than a minute in the future, for Execute, Begin, Commit and Abort', () => {
    const mesh = new Harness();
    const id = idAt(START_MS + 60_001);
    const refused = { failure: { reason: 'TRANSACTION_ID_IN_FUTURE' } };
    expect(mesh.execute(id, ONE)).toMatchObject(refused);
    expect(mesh.step({ type: 'abort', transactionId: id })).toMatchObject(refused);
    expect(mesh.step({ type: 'commit', transactionId: id, attempt: { epoch: 10, counter: 1 } })).toMatchObject(refused);
    expect(mesh.execute(idAt(START_MS + 60_000), ONE)).toBeUndefined();
  });

  it('keeps an outcome for the retention, then the id is expired for every call', () => {
    const mesh = new Harness({ retentionMs: 60_000 });
    commit(mesh);
    mesh.pass(60_000);
    expect(mesh.execute(ID, ONE)).toMatchObject({ transaction: { state: 'COMMITTED' } });
    mesh.pass(60_000);
    commit(mesh, idAt(mesh.nowMs, 2));
    mesh.pass(2000);
    const expired = { failure: { reason: 'TRANSACTION_EXPIRED' } };
    expect(mesh.execute(ID, ONE)).toMatchObject(expired);
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject(expired);
    expect(mesh.step({ type: 'abort', transactionId: ID })).toMatchObject(expired);
    expect(mesh.store.has(`transaction/${ID}`)).toBe(false);
  });

  it('stores the floor in the batch that collects', () => {
    const mesh = new Harness({ retentionMs: 60_000 });
    commit(mesh);
    let collected: readonly string[] | undefined;
    for (let i = 0; i < 100 && collected === undefined; i++) {
      mesh.pass(1000);
      if (!mesh.store.has(`transaction/${ID}`)) collected = mesh.writes;
      else if (mesh.writes.some((write) => write.startsWith('remove transaction/'))) expect(mesh.writes).toContain('put progress');
    }
    expect(collected).toContain('put progress');
    expect(mesh.store.get('progress')).toMatchObject({ floor: ID });
  });

  it('never executes a collected id again when the clock is set back', () => {
    const mesh = new Harness({ retentionMs: 60_000 });
    commit(mesh);
    mesh.pass(300_000);
    mesh.nowMs = START_MS;
    expect(mesh.execute(ID, ONE)).toMatchObject({ failure: { reason: 'TRANSACTION_EXPIRED' } });
    mesh.restart();
    expect(mesh.execute(ID, ONE)).toMatchObject({ failure: { reason: 'TRANSACTION_EXPIRED' } });
    const broken = new Harness({ retentionMs: 60_000 }, ['expired-id-executed'], mesh.store);
    broken.nowMs = START_MS;
    broken.execute(ID, ONE);
    expect(broken.take()).toHaveLength(1);
  });

  it('does not expire new ids when the clock jumps ahead and back', () => {
    const mesh = new Harness({ retentionMs: 60_000 });
    commit(mesh);
    mesh.nowMs += 86_400_000;
    mesh.pass(5000);
    mesh.nowMs = START_MS + 1000;
    expect(mesh.execute(idAt(mesh.nowMs, 2), ONE)).toBeUndefined();
    expect(mesh.take()).toHaveLength(1);
  });

  it('does not collect a commit before every branch has acknowledged; then keeps it for the retention (T8)', () => {
    const mesh = new Harness({ retentionMs: 60_000 });
    commit(mesh, idAt(START_MS, 1));
    commit(mesh, idAt(START_MS, 2), false);
    commit(mesh, idAt(START_MS, 3));
    mesh.pass(600_000);
    expect([...mesh.store.keys()].filter((key) => key.startsWith('transaction/'))).toEqual([`transaction/${idAt(START_MS, 2)}`]);
    mesh.restart();
    expect(mesh.execute(idAt(START_MS, 2), ONE)).toMatchObject({ transaction: { state: 'COMMITTING' } });
    mesh.pass(100);
    mesh.answer(mesh.take().slice(0, 1), acknowledge);
    mesh.pass(59_000);
    expect(mesh.execute(idAt(START_MS, 2), ONE)).toMatchObject({ transaction: { state: 'COMMITTED' } });
    mesh.pass(2000);
    expect(mesh.execute(idAt(START_MS, 2), ONE)).toMatchObject({ failure: { reason: 'TRANSACTION_EXPIRED' } });
    expect([...mesh.store.keys()].filter((key) => !key.startsWith('log/'))).toEqual(['progress']);
  });

  it('collects an unacknowledged commit only as a deliberate bug', () => {
    const mesh = new Harness({ retentionMs: 60_000 }, ['collect-before-acknowledged']);
    // The record is lost under the kernel.
    mesh.compares = false;
    commit(mesh, ID, false);
    mesh.pass(600_000);
    expect(mesh.store.has(`transaction/${ID}`)).toBe(false);
  });

  it('sleeps when everything has been collected', () => {
    const mesh = new Harness({ retentionMs: 60_000 });
    commit(mesh);
    mesh.pass(600_000);
    expect(mesh.kernel.wakeAtMs()).toBeUndefined();
    expect([...mesh.store.keys()]).toEqual(['progress']);
  });
});

describe('one participant that is away', () => {
  it('does not hold back the log, nor the collection of everybody else', () => {
    const mesh = new Harness({ retentionMs: 60_000 });
    commit(mesh, idAt(START_MS, 1), false);
    for (let i = 0; i < 200; i++) {
      commit(mesh, idAt(mesh.nowMs, i + 2));
      mesh.pass(1000);
      mesh.take();
    }
    expect(mesh.store.get('progress')).toMatchObject({ finishedThrough: expect.any(Number) });
    expect((mesh.store.get('progress') as { finishedThrough: number }).finishedThrough).toBeGreaterThan(150);
    expect(mesh.store.has(`open/${idAt(START_MS, 1)}`)).toBe(true);
    expect(mesh.store.size).toBeLessThan(300);
    mesh.restart();
    mesh.pass(100);
    const told = mesh.take().filter(({ branch: { transactionId } }) => transactionId === idAt(START_MS, 1));
    expect(told).toMatchObject([{ type: 'commit' }]);
    mesh.receive(acknowledge(told[0]!.branch));
    expect(mesh.store.has(`open/${idAt(START_MS, 1)}`)).toBe(false);
  });
});
