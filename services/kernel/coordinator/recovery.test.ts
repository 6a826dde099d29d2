import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ToCoordinator, ToParticipant } from '../messages.ts';
import { branch, Harness, idAt } from './testing/harness.ts';
import type { Reply } from './types.ts';

type Action =
  | { readonly do: 'execute' | 'abort' | 'get' | 'begin' | 'commit' | 'retry'; readonly id: number; readonly shape: number }
  | { readonly do: 'vote' | 'acknowledge' | 'inquire' | 'force' | 'lose'; readonly pick: number; readonly yes: boolean }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'jump'; readonly ms: number }
  | { readonly do: 'failOver' };

const actions: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('execute' as const), id: fc.nat(40), shape: fc.nat(7) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('abort' as const, 'get' as const, 'begin' as const, 'commit' as const, 'retry' as const),
      id: fc.nat(40),
      shape: fc.nat(7),
    }),
  },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('vote' as const), pick: fc.nat(), yes: fc.nat(5).map((n) => n > 0) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), pick: fc.nat(), yes: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('inquire' as const, 'force' as const, 'lose' as const),
      pick: fc.nat(),
      yes: fc.boolean(),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(1, 50, 900, 4000, 20_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('jump' as const), ms: fc.constantFrom(-50_000, -5000, 30_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('failOver' as const) }) },
);

/** Plays a random history and holds what clients and participants were told against each other. */
class History {
  readonly mesh = new Harness({ retentionMs: 10_000, transactionLimit: 30, cacheBytes: 4000 });
  private readonly startMs = this.mesh.nowMs;
  private readonly messages: ToParticipant[] = [];
  private readonly begun = new Map<string, { epoch: number; counter: number }>();
  private readonly outcomes = new Map<string, 'COMMITTED' | 'ABORTED'>();
  private readonly told = new Map<string, 'commit' | 'abort'>();
  private readonly acknowledged = new Set<string>();
  private seen = 0;

  play(action: Action): void {
    const { mesh } = this;
    switch (action.do) {
      case 'execute': {
        const shapes = [branch('a'), branch('b', 1), branch('c', 2, true)].filter((_, i) => (action.shape & (1 << i)) !== 0);
        mesh.execute(this.id(action.id), shapes.length > 0 ? shapes : [branch('a')], { fingerprint: `${action.shape}`, timeoutMs: 2000 });
        break;
      }
      case 'begin': {
        const id = this.id(action.id);
        const reply = mesh.step({ type: 'begin', transactionId: id, mode: 'two-phase-commit', firstTryMs: mesh.nowMs, deadlineMs: mesh.nowMs + 2000 });
        if (reply?.type !== 'begun') break;
        this.begun.set(id, reply.attempt);
        const enlisting = { transactionId: id, attempt: reply.attempt, coordinatorPartition: 3, participant: 'a', partition: 0 };
        if (action.shape & 1) mesh.receive({ type: 'enlist', branch: enlisting, epoch: 5 });
        break;
      }
      case 'commit':
        mesh.step({ type: 'commit', transactionId: this.id(action.id), attempt: this.begun.get(this.id(action.id)) ?? { epoch: 1, counter: 1 } });
        break;
      case 'abort':
      case 'get':
      case 'retry':
        mesh.step({ type: action.do, transactionId: this.id(action.id) });
        break;
      case 'vote':
        this.answer('prepare', action.pick, ({ branch: id }) => ({ type: 'vote', branch: id, vote: action.yes ? 'yes' : 'no' }));
        break;
      case 'acknowledge':
        this.answer('commit', action.pick, ({ branch: id }) => ({ type: 'acknowledge', branch: id }));
        break;
      case 'inquire':
        this.answer('prepare', action.pick, ({ branch: id }) => ({ type: 'inquire', branch: id }));
        break;
      case 'force':
        this.answer('prepare', action.pick, ({ branch: id }) => ({ type: 'acknowledge', branch: id, heuristic: action.yes ? 'commit' : 'abort' }));
        break;
      case 'lose':
        this.answer('commit', action.pick, ({ branch: id }) => ({ type: 'undelivered', branch: id, failure: { reason: 'NO_LEADER', message: 'x' } }));
        break;
      case 'advance':
        mesh.pass(action.ms);
        break;
      case 'jump':
        mesh.nowMs += action.ms;
        break;
      case 'failOver':
        mesh.restart();
        break;
    }
    this.messages.push(...mesh.take());
  }

  check(): void {
    const { mesh } = this;
    expect(mesh.recovered().kernel.durableState()).toEqual(mesh.kernel.durableState());
    const replies = mesh.replies.slice(this.seen).map(({ reply }) => reply);
    this.seen = mesh.replies.length;
    for (const reply of replies) this.checkReply(reply);
    for (const { type, branch: id } of this.messages.slice(-20)) {
      if (type !== 'commit' && type !== 'abort') continue;
      const key = JSON.stringify(id);
      // Once it has acknowledged, the outcome may be collected, and then counts as aborted (T3, T8).
      if (this.acknowledged.has(key)) continue;
      // One attempt of a branch is told one outcome (T6).
      expect(this.told.get(key) ?? type).toBe(type);
      this.told.set(key, type);
    }
  }

  private checkReply(reply: Reply): void {
    if (reply.type !== 'transaction') return;
    const { transactionId, state } = reply.transaction;
    if (state === 'ACTIVE' || state === 'PREPARING') return;
    const outcome = state === 'ABORTED' ? 'ABORTED' : 'COMMITTED';
    expect(this.outcomes.get(transactionId) ?? outcome).toBe(outcome);
    this.outcomes.set(transactionId, outcome);
  }

  private answer(type: ToParticipant['type'], pick: number, answer: (message: ToParticipant) => ToCoordinator): void {
    const candidates = this.messages.filter((message) => message.type === type);
    // Mostly recent ones, now and then a very late copy.
    const from = pick % 4 === 0 ? 0 : Math.max(0, candidates.length - 6);
    const message = candidates[from + (pick % Math.max(1, candidates.length - from))];
    if (message === undefined || message.branch.attempt.epoch > this.mesh.epoch) return;
    const answered = answer(message);
    if (answered.type === 'acknowledge') this.acknowledged.add(JSON.stringify(message.branch));
    this.mesh.receive(answered);
  }

  /** Around the present, so that ids are used again, are late, and expire. */
  private id(n: number): string {
    return idAt(this.startMs + Math.max(0, Math.floor((this.mesh.nowMs - this.startMs) / 5000) * 5000 - 20_000 + n * 700), n);
  }
}

describe('what is in memory after a batch', () => {
  it('is exactly what recovering the records gives, and outcomes never change (P3, T2, T6, T10)', () => {
    fc.assert(
      fc.property(fc.array(actions, { minLength: 20, maxLength: 150, size: 'max' }), (history) => {
        const played = new History();
        for (const action of history) {
          played.play(action);
          played.check();
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('a new term', () => {
  it('tells commits again that may not have been acknowledged, and few others (T1, T12)', () => {
    const mesh = new Harness();
    for (let i = 0; i < 300; i++) {
      mesh.execute(idAt(mesh.nowMs, i), [branch('a'), branch('b')]);
      for (const { branch: id } of mesh.take()) mesh.receive({ type: 'vote', branch: id, vote: 'yes' });
      const commits = mesh.take();
      mesh.receive({ type: 'acknowledge', branch: commits[0]!.branch });
      if (i !== 250) mesh.receive({ type: 'acknowledge', branch: commits[1]!.branch });
    }
    mesh.restart();
    mesh.take();
    mesh.pass(90);
    const told = mesh.take();
    expect(new Set(told.map(({ type }) => type))).toEqual(new Set(['commit']));
    expect(told.length).toBeLessThan(256);
    expect(told.map(({ branch: id }) => id.transactionId)).toContain(idAt(mesh.nowMs - 90, 250));
    for (const { branch: id } of told) mesh.receive({ type: 'acknowledge', branch: id });
    expect(mesh.kernel.size).toBe(0);
  });

  it('refuses to begin if the record of a commit is missing', () => {
    const mesh = new Harness();
    const id = idAt(mesh.nowMs, 1);
    mesh.execute(id, [branch('a')]);
    for (const { branch: asked } of mesh.take()) mesh.receive({ type: 'vote', branch: asked, vote: 'yes' });
    mesh.store.delete(`transaction/${id}`);
    expect(() => mesh.restart()).toThrow(/record is missing/);
  });
});
