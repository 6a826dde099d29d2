import { describe, expect, it } from 'vitest';
import { acknowledge, branch, Harness, idAt, START_MS, votes } from './testing/harness.ts';

const ID = idAt(START_MS, 1);
const TWO = [branch('inventory'), branch('payments', 7)];

describe('two-phase commit', () => {
  it('writes nothing when a transaction begins (T3)', () => {
    const mesh = new Harness();
    expect(mesh.execute(ID, TWO)).toBeUndefined();
    expect(mesh.writes).toEqual([]);
    expect(mesh.take()).toMatchObject([
      { type: 'prepare', branch: { transactionId: ID, attempt: { epoch: 10, counter: 1 }, coordinatorPartition: 3, participant: 'inventory', partition: 0 } },
      { type: 'prepare', branch: { participant: 'payments', partition: 7 }, readOnly: false },
    ]);
  });

  it('writes the commit in the batch that tells it to the client and the branches (T1)', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO, { origin: 'client' });
    const [first, second] = mesh.take();
    mesh.receive(votes.yes(first!.branch));
    expect(mesh.writes).toEqual([]);
    expect(mesh.replyTo('client')).toBeUndefined();
    expect(mesh.take()).toEqual([]);
    mesh.receive(votes.yes(second!.branch));
    expect(mesh.writes).toEqual([`put transaction/${ID}`, 'put log/00000000000001']);
    expect(mesh.replyTo('client')).toMatchObject({ transaction: { state: 'COMMITTING', branches: [], decideMs: START_MS } });
    expect(mesh.take()).toMatchObject([{ type: 'commit' }, { type: 'commit' }]);
  });

  it('writes an abort before the client hears it, and tells every branch that was asked (T2)', () => {
    const mesh = new Harness();
    mesh.execute(ID, [...TWO, branch('audit', 0, true)], { origin: 'client' });
    const [first] = mesh.take();
    const cause = { reason: 'PRECONDITION_FAILED', message: 'too little stock' } as const;
    mesh.receive(votes.no(first!.branch, cause));
    expect(mesh.writes).toEqual([`put transaction/${ID}`, 'put log/00000000000001']);
    expect(mesh.replyTo('client')).toMatchObject({ transaction: { state: 'ABORTED', cause } });
    expect(mesh.take()).toMatchObject([{ type: 'abort', branch: { participant: 'payments' } }]);
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({ transaction: { state: 'ABORTED', cause } });
  });

  it('shows of an aborted transaction which branches were to write', () => {
    const mesh = new Harness();
    mesh.execute(ID, [...TWO, branch('audit', 0, true)]);
    mesh.receive(votes.no(mesh.take()[0]!.branch));
    const shown = mesh.step({ type: 'get', transactionId: ID });
    expect(shown).toMatchObject({ transaction: { branches: [{ readOnly: false }, { readOnly: false }, { participant: 'audit', readOnly: true }] } });
  });

  it('never sends an abort twice: a branch that missed it inquires (T3)', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO);
    mesh.receive(votes.no(mesh.take()[0]!.branch));
    mesh.take();
    mesh.pass(600_000);
    expect(mesh.take()).toEqual([]);
  });

  it('validates read-only branches after every writing branch has voted yes (T11)', () => {
    const mesh = new Harness();
    mesh.execute(ID, [branch('audit', 0, true), ...TWO], { origin: 'client' });
    const writing = mesh.take();
    expect(writing.map(({ branch: { participant } }) => participant)).toEqual(['inventory', 'payments']);
    mesh.receive(votes.yes(writing[0]!.branch));
    expect(mesh.take()).toEqual([]);
    mesh.receive(votes.yes(writing[1]!.branch));
    const validating = mesh.take();
    expect(validating).toMatchObject([{ type: 'prepare', readOnly: true, branch: { participant: 'audit' } }]);
    mesh.receive(votes.readOnly(validating[0]!.branch));
    expect(mesh.take().map((message) => [message.type, message.branch.participant])).toEqual([
      ['commit', 'inventory'],
      ['commit', 'payments'],
    ]);
  });

  it('validates read-only branches together with the writes only as a deliberate bug', () => {
    const mesh = new Harness({}, ['read-only-with-writers']);
    mesh.execute(ID, [branch('audit', 0, true), ...TWO], { origin: 'client' });
    const all = mesh.take();
    expect(all).toHaveLength(3);
    for (const { branch: asked } of all) mesh.receive(votes.yes(asked));
    expect(mesh.replyTo('client')).toMatchObject({ transaction: { state: 'COMMITTING' } });
  });

  it('records a transaction that only reads, and needs no second phase (T10, T11)', () => {
    const mesh = new Harness();
    mesh.execute(ID, [branch('audit', 0, true), branch('audit', 1, true)], { origin: 'client' });
    mesh.answer(mesh.take(), votes.readOnly);
    expect(mesh.replyTo('client')).toMatchObject({ transaction: { state: 'COMMITTED' } });
    expect(mesh.writes).toContain(`put transaction/${ID}`);
    expect(mesh.take()).toEqual([]);
    expect(mesh.kernel.size).toBe(0);
  });

  it('does not tell the outcome to a branch that voted readOnly', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO);
    const [first, second] = mesh.take();
    mesh.receive(votes.readOnly(first!.branch));
    mesh.receive(votes.yes(second!.branch));
    expect(mesh.take()).toMatchObject([{ type: 'commit', branch: { participant: 'payments' } }]);
  });

  it('ignores votes of another attempt, and repeated ones (T5)', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO, { origin: 'client' });
    const [first, second] = mesh.take();
    mesh.receive(votes.yes({ ...second!.branch, attempt: { epoch: 9, counter: 1 } }));
    mesh.receive(votes.yes(first!.branch));
    mesh.receive(votes.yes(first!.branch));
    expect(mesh.replyTo('client')).toBeUndefined();
    mesh.receive(votes.yes(second!.branch));
    mesh.receive(votes.no(second!.branch));
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({ transaction: { state: 'COMMITTING' } });
  });

  it('steps down on hearing of an epoch above its own (P5)', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO);
    const [first] = mesh.take();
    mesh.receive(votes.yes({ ...first!.branch, attempt: { epoch: 11, counter: 1 } }));
    expect(mesh.stepDowns[0]).toMatch(/epoch 11, above 10/);
  });

  it('is finished when every branch has acknowledged, whatever is repeated', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO);
    mesh.answer(mesh.take(), votes.yes);
    const [first, second] = mesh.take();
    mesh.receive(acknowledge(first!.branch));
    mesh.receive(acknowledge(first!.branch));
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({
      transaction: { state: 'COMMITTING', branches: [{ state: 'COMPLETED' }, { state: 'COMPLETING', tries: 1 }] },
    });
    mesh.receive(acknowledge(second!.branch));
    expect(mesh.writes).toEqual([]);
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({
      transaction: { state: 'COMMITTED', branches: [{ state: 'COMPLETED' }, { state: 'COMPLETED' }] },
    });
  });

  it('aborts durably when the timeout passes, naming who was waited for and why (T2, T4)', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO, { origin: 'client', timeoutMs: 250 });
    const [first, second] = mesh.take();
    mesh.receive(votes.yes(first!.branch));
    const failure = { reason: 'NO_LEADER', message: 'nobody leads it' } as const;
    mesh.receive({ type: 'undelivered', branch: second!.branch, failure });
    mesh.pass(249);
    expect(mesh.replyTo('client')).toBeUndefined();
    mesh.pass(1);
    expect(mesh.replyTo('client')).toMatchObject({
      transaction: { state: 'ABORTED', cause: { reason: 'TRANSACTION_TIMEOUT', message: expect.stringMatching(/payments.*nobody leads it/) } },
    });
    expect(mesh.store.has(`transaction/${ID}`)).toBe(true);
    expect(mesh.take().filter(({ type }) => type === 'abort')).toHaveLength(2);
  });

  it('asks again with growing, capped distance until it hears, for ever, and shows it (T12)', () => {
    const mesh = new Harness();
    mesh.execute(ID, [branch('inventory')]);
    mesh.answer(mesh.take(), votes.yes);
    const tries: number[] = [];
    for (let i = 0; i < 40; i++) {
      const before = mesh.nowMs;
      for (mesh.take(); mesh.take().length === 0; ) mesh.pass(1000);
      tries.push(mesh.nowMs - before);
    }
    expect(Math.max(...tries)).toBeLessThanOrEqual(32_000);
    expect(tries.at(-1)!).toBeGreaterThan(0);
    mesh.receive({ type: 'undelivered', branch: { ...id(mesh) }, failure: { reason: 'NO_LEADER', message: 'gone' } });
    const shown = mesh.step({ type: 'get', transactionId: ID });
    expect(shown).toMatchObject({
      transaction: { branches: [{ lastError: { message: 'gone' }, nextTryMs: expect.any(Number) }] },
    });
  });

  it('shows of the last error what it would record of a cause, however much a participant says', () => {
    const mesh = new Harness();
    mesh.execute(ID, [branch('inventory')]);
    const [prepare] = mesh.take();
    mesh.receive({ type: 'undelivered', branch: prepare!.branch, failure: { reason: 'NO_LEADER', message: 'x'.repeat(1_000_000) } });
    expect(mesh.step({ type: 'get', transactionId: ID })).toMatchObject({
      transaction: { branches: [{ lastError: { message: expect.stringMatching(/^x{500,600}…$/) } }] },
    });
  });

  it('retries at once when asked to (T12)', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO);
    mesh.answer(mesh.take(), votes.yes);
    const [first] = mesh.take();
    mesh.receive(acknowledge(first!.branch));
    expect(mesh.step({ type: 'retry', transactionId: ID })).toMatchObject({ transaction: { state: 'COMMITTING' } });
    expect(mesh.take()).toMatchObject([{ type: 'commit', branch: { participant: 'payments' } }]);
  });

  it('keeps retrying on time when the wall clock is set back', () => {
    const mesh = new Harness();
    mesh.execute(ID, [branch('inventory')]);
    mesh.take();
    mesh.nowMs -= 3_600_000;
    mesh.step({ type: 'get', transactionId: ID });
    mesh.pass(1000);
    expect(mesh.take().length).toBeGreaterThan(0);
  });

  it('spreads retries of one moment by full jitter', () => {
    const mesh = new Harness();
    for (let i = 0; i < 100; i++) mesh.execute(idAt(START_MS, i), [branch('inventory')]);
    mesh.take();
    const due = new Set<number>();
    for (let i = 0; i < 100; i++) {
      const reply = mesh.step({ type: 'get', transactionId: idAt(START_MS, i) });
      if (reply?.type === 'transaction') due.add(Math.round(reply.transaction.branches[0]!.nextTryMs! - START_MS));
    }
    expect(due.size).toBeGreaterThan(50);
  });

  it('refuses more transactions than its bound, with a retry delay (P8)', () => {
    const mesh = new Harness({ transactionLimit: 2 });
    mesh.execute(idAt(START_MS, 1), TWO);
    mesh.execute(idAt(START_MS, 2), TWO);
    expect(mesh.execute(idAt(START_MS, 3), TWO)).toMatchObject({ failure: { reason: 'OVERLOADED', retryAfterMs: expect.any(Number) } });
  });

  it('tells watchers each change, and makes no events when nobody watches', () => {
    const mesh = new Harness();
    mesh.kernel.watched = true;
    mesh.execute(ID, TWO);
    mesh.answer(mesh.take(), votes.yes);
    mesh.answer(mesh.take(), acknowledge);
    expect(mesh.events.map(({ type, sequence }) => [type, sequence])).toEqual([
      ['request', 1],
      ['acknowledge', 1],
      ['acknowledge', 1],
      ['commit', 1],
      ['acknowledge', 2],
      ['acknowledge', 2],
    ]);
    expect(mesh.events[3]!.transaction).toMatchObject({ state: 'COMMITTING', branches: [{ state: 'COMPLETING' }, {}] });
    mesh.kernel.watched = false;
    mesh.execute(idAt(START_MS, 2), TWO);
    expect(mesh.events).toHaveLength(6);
  });
});

describe('the low-water mark (T7)', () => {
  it('is the lowest attempt that is still preparing, or the next one', () => {
    const mesh = new Harness();
    expect(mesh.mark).toEqual({ epoch: 10, counter: 1 });
    mesh.execute(idAt(START_MS, 1), [branch('inventory')]);
    mesh.execute(idAt(START_MS, 2), [branch('inventory')]);
    const [first, second] = mesh.take();
    mesh.receive(votes.yes(second!.branch));
    expect(mesh.mark).toEqual({ epoch: 10, counter: 1 });
    mesh.receive(votes.no(first!.branch));
    expect(mesh.mark).toEqual({ epoch: 10, counter: 3 });
  });

  it('starts a new term with the beginning of its own epoch', () => {
    const mesh = new Harness();
    mesh.execute(ID, TWO);
    mesh.restart();
    expect(mesh.mark).toEqual({ epoch: 20, counter: 1 });
  });
});

function id(mesh: Harness) {
  mesh.step({ type: 'retry', transactionId: ID });
  return mesh.take()[0]!.branch;
}
