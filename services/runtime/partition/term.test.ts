import { describe, expect, it } from 'vitest';
import type { Failure } from '../../kernel/failure.ts';
import type { Cost, Kernel, KeyRange, Origin, Output, StepInput } from '../../kernel/kernel.ts';
import type { Clock, Timer } from '../clock.ts';
import { AmbiguousWrite, StoreUnavailable } from '../store/errors.ts';
import { MemoryStore } from '../store/memory.ts';
import { WRITE_LIMITS, type Range, type ScanOptions, type ScanResult, type Store, type WriteBatch, type WriteResult } from '../store/store.ts';
import { Term, type Requester } from './term.ts';

type Command =
  | { readonly type: 'add'; readonly key: string; readonly keys?: number; readonly origin?: Origin }
  | { readonly type: 'read'; readonly key: string; readonly origin?: Origin }
  | { readonly type: 'hold'; readonly origin?: Origin }
  | { readonly type: 'retire' }
  /** Adds, and nobody waits for it. */
  | { readonly type: 'lazy'; readonly key: string }
  | { readonly type: 'letGo' }
  | { readonly type: 'tick' };

/** Counts additions by key; keys that begin with "cold" are loaded on demand. */
class Tally implements Kernel<Command, number, number, string> {
  readonly totals = new Map<string, number>();
  readonly known = new Set<string>();
  readonly sealCost: Cost = { operations: 1, bytes: 100 };
  readonly tick: Command = { type: 'tick' };
  retire: Command | undefined;
  /** Those that asked to be held, and the command that the next seal adds. */
  readonly held: Origin[] = [];
  sealFollow: Command | undefined;
  wakeMs: number | undefined;
  ticks = 0;
  private loads: KeyRange[] = [{ from: 'hot/', to: 'hot0' }];

  recovery(): KeyRange | undefined {
    return this.loads.shift();
  }
  recover(key: string, record: number): void {
    this.totals.set(key, record);
  }
  lead(_epoch: number, _input: StepInput, out: Output<Command, number, number, string>): void {
    out.send('leading');
  }
  missing(command: Command): readonly string[] {
    return 'key' in command && command.key.startsWith('cold') && !this.known.has(command.key) ? [command.key] : [];
  }
  admit(key: string, record: number | undefined): void {
    this.known.add(key);
    if (record !== undefined) this.totals.set(key, record);
  }
  cost(command: Command): Cost {
    if (command.type === 'lazy') return { operations: 1, bytes: 100 };
    return command.type === 'add' ? { operations: command.keys ?? 1, bytes: 100 } : { operations: 0, bytes: 0 };
  }
  canWait(command: Command): boolean {
    return command.type === 'lazy';
  }
  step(command: Command, _input: StepInput, out: Output<Command, number, number, string>): void {
    if (command.type === 'tick') {
      this.ticks++;
      this.wakeMs = undefined;
    } else if (command.type === 'lazy') out.put(command.key, 1);
    else if (command.type === 'hold') this.held.push(command.origin);
    else if (command.type === 'letGo') for (const origin of this.held.splice(0)) out.reply(origin, 0);
    else if (command.type === 'retire') out.stepDown('a later epoch was seen');
    else if (command.type === 'read') out.reply(command.origin, this.totals.get(command.key) ?? 0);
    else if (command.type === 'add') {
      const total = (this.totals.get(command.key) ?? 0) + 1;
      this.totals.set(command.key, total);
      for (let i = 0; i < (command.keys ?? 1); i++) out.put(i === 0 ? command.key : `${command.key}/${i}`, total);
      out.send(`${command.key}=${total}`);
      out.reply(command.origin, total);
    }
  }
  seal(_input: StepInput, out: Output<Command, number, number, string>): void {
    if (this.sealFollow !== undefined) out.follow(this.sealFollow);
    this.sealFollow = undefined;
  }
  wakeAtMs(): number | undefined {
    return this.wakeMs;
  }
  durableState(): unknown {
    return this.totals;
  }
}

/** Time that moves when it is told to. */
class ManualClock implements Clock {
  private now = 0;
  private timers: { atMs: number; call: () => void }[] = [];
  nowMs = (): number => this.now;
  monotonicMs = (): number => this.now;
  setTimer(delayMs: number, call: () => void): Timer {
    const timer = { atMs: this.now + delayMs, call };
    this.timers.push(timer);
    return { cancel: () => (this.timers = this.timers.filter((t) => t !== timer)) };
  }
  async advance(ms: number): Promise<void> {
    this.now += ms;
    const due = this.timers.filter((t) => t.atMs <= this.now);
    this.timers = this.timers.filter((t) => t.atMs > this.now);
    for (const { call } of due) call();
    await settle();
  }
}

/** Lets everything happen that waits for nothing from outside. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Holds writes back until they are let through, or fails them. */
class Gate {
  readonly waiting: { batch: WriteBatch; pass(): void; fail(error: Error): void }[] = [];
  open = true;
  /** Scans whose answer has more entries do not come in time. */
  longestScan = Infinity;
  readonly store: Store;

  constructor(inner: Store) {
    this.store = new Proxy(inner, {
      get: (target, name) => {
        if (name === 'write') return (batch: WriteBatch) => this.write(target, batch);
        if (name === 'scan') return (range: Range, options: ScanOptions) => this.scan(target, range, options);
        const value = Reflect.get(target, name) as unknown;
        return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
      },
    });
  }

  private async scan(inner: Store, range: Range, options: ScanOptions): Promise<ScanResult> {
    const page = await inner.scan(range, options);
    if (page.entries.length > this.longestScan) throw new StoreUnavailable('there was no answer in time');
    return page;
  }

  private write(inner: Store, batch: WriteBatch): Promise<WriteResult> {
    if (this.open) return inner.write(batch);
    return new Promise((resolve, reject) =>
      this.waiting.push({ batch, pass: () => resolve(inner.write(batch)), fail: reject }),
    );
  }
}

interface Heard {
  replies: number[];
  failures: Failure[];
}

function requester(): Requester<number> & Heard {
  const heard: Heard = { replies: [], failures: [] };
  return {
    ...heard,
    onReply: (reply) => heard.replies.push(reply),
    onFailure: (failure) => heard.failures.push(failure),
  };
}

async function setUp(options: { queueLimit?: number } = {}) {
  const clock = new ManualClock();
  const inner = new MemoryStore(clock);
  const gate = new Gate(inner);
  const lease = await inner.grantLease(1_000_000);
  const electionKey = 'live/leader/tally/0000';
  const elected = await inner.write({ puts: [{ key: electionKey, value: new Uint8Array(), lease }] });
  if (elected.type !== 'written') throw new Error('not elected');
  const state = { valid: true, sent: [] as string[], ended: [] as string[], kernel: new Tally() };
  const open = (): Term<Command, number, number, string> => {
    state.kernel = new Tally();
    return new Term({
      store: gate.store,
      clock,
      kernel: state.kernel,
      codec: { encode: (n: number) => Uint8Array.of(n), decode: (_key, bytes) => bytes[0]! },
      keyPrefix: 'data/tally/0000/',
      tenure: { electionKey, electionRevision: elected.revision, epoch: elected.revision, isValid: () => state.valid },
      entropy: () => 0.5,
      send: (message) => state.sent.push(message),
      emit: () => undefined,
      onEnd: (reason) => state.ended.push(reason),
      ...options,
    });
  };
  const term = open();
  await term.load();
  await settle();
  return { clock, inner, gate, term, open, state, electionKey };
}

describe('a partition term', () => {
  it('releases replies and messages only when the batch is durable (P1)', async () => {
    const { gate, term, state } = await setUp();
    gate.open = false;
    const adder = requester();
    const reader = requester();
    term.submit({ type: 'add', key: 'hot/a', origin: adder }, 'work');
    term.submit({ type: 'read', key: 'hot/a', origin: reader }, 'work');
    await settle();
    expect([adder.replies, reader.replies, state.sent]).toEqual([[], [], ['leading']]);
    gate.waiting[0]!.pass();
    await settle();
    expect([adder.replies, reader.replies, state.sent]).toEqual([[1], [1], ['leading', 'hot/a=1']]);
  });

  it('puts everything that queued during a write into the next one', async () => {
    const { gate, term } = await setUp();
    gate.open = false;
    for (const key of ['hot/a', 'hot/b', 'hot/c']) {
      term.submit({ type: 'add', key }, 'work');
      await settle();
    }
    expect(gate.waiting).toHaveLength(1);
    gate.waiting[0]!.pass();
    await settle();
    expect(gate.waiting[1]!.batch.puts?.map((put) => put.key)).toEqual(['data/tally/0000/hot/b', 'data/tally/0000/hot/c']);
  });

  it('does not begin what nobody waits for any more, and goes on with what had begun', async () => {
    const { gate, term, state } = await setUp();
    gate.open = false;
    const [begun, late, next] = [requester(), requester(), requester()];
    term.submit({ type: 'add', key: 'hot/begun', origin: begun }, 'work');
    await settle();
    term.submit({ type: 'add', key: 'hot/late', origin: late }, 'work');
    term.submit({ type: 'add', key: 'hot/next', origin: next }, 'work');
    for (const gone of [begun, late]) term.forget(gone);
    gate.waiting[0]!.pass();
    await settle();
    gate.waiting[1]!.pass();
    await settle();
    expect([...state.kernel.totals.keys()]).toEqual(['hot/begun', 'hot/next']);
    expect([begun.replies, late.replies, next.replies]).toEqual([[], [], [1]]);
  });

  it('names a key once in a batch, with the last record', async () => {
    const { gate, term } = await setUp();
    gate.open = false;
    for (let i = 0; i < 3; i++) term.submit({ type: 'add', key: 'hot/a' }, 'work');
    await settle();
    expect(gate.waiting[0]!.batch.puts).toEqual([{ key: 'data/tally/0000/hot/a', value: Uint8Array.of(3) }]);
  });

  it('splits batches between steps at the limit on operations (P9)', async () => {
    const { gate, term } = await setUp();
    gate.open = false;
    for (const key of ['hot/a', 'hot/b', 'hot/c']) term.submit({ type: 'add', key, keys: 60 }, 'work');
    await settle();
    expect(gate.waiting[0]!.batch.puts).toHaveLength(120);
    expect(120 + 60).toBeGreaterThan(WRITE_LIMITS.operations);
    gate.waiting[0]!.pass();
    await settle();
    expect(gate.waiting[1]!.batch.puts).toHaveLength(60);
  });

  it('ends when its write is refused because another leads, and its callers hear that the outcome is unknown (P2)', async () => {
    const { inner, term, state, electionKey } = await setUp();
    await inner.write({ deletes: [electionKey] });
    const adder = requester();
    term.submit({ type: 'add', key: 'hot/a', origin: adder }, 'work');
    await settle();
    expect(state.ended).toEqual(['another replica leads this partition now']);
    expect(adder.failures[0]?.reason).toBe('OUTCOME_UNKNOWN');
    expect(adder.failures[0]?.retryAfterMs).toBeUndefined();
    expect(await inner.get(['data/tally/0000/hot/a'])).toEqual([undefined]);
  });

  it('ends when a write is ambiguous, and refuses what only queued as surely not executed (P4)', async () => {
    const { gate, term, state } = await setUp();
    gate.open = false;
    const stepped = requester();
    const queued = requester();
    term.submit({ type: 'add', key: 'hot/a', origin: stepped }, 'work');
    await settle();
    term.submit({ type: 'add', key: 'hot/b', origin: queued }, 'work');
    gate.waiting[0]!.fail(new AmbiguousWrite('no answer'));
    await settle();
    expect(state.ended).toEqual(['the store failed: no answer']);
    expect(stepped.failures.map((f) => f.reason)).toEqual(['OUTCOME_UNKNOWN']);
    expect(queued.failures).toMatchObject([{ reason: 'NO_LEADER', retryAfterMs: expect.any(Number) as number }]);
  });

  it('tries a write again that was surely not executed', async () => {
    const { gate, term, clock } = await setUp();
    gate.open = false;
    const adder = requester();
    term.submit({ type: 'add', key: 'hot/a', origin: adder }, 'work');
    await settle();
    gate.waiting[0]!.fail(new StoreUnavailable('not connected'));
    await settle();
    gate.open = true;
    await clock.advance(1000);
    expect(adder.replies).toEqual([1]);
  });

  it('answers a read without a write only while its lease surely holds (P5)', async () => {
    const { term, state } = await setUp();
    const before = requester();
    term.submit({ type: 'read', key: 'hot/a', origin: before }, 'work');
    await settle();
    state.valid = false;
    const after = requester();
    term.submit({ type: 'read', key: 'hot/a', origin: after }, 'work');
    await settle();
    expect(before.replies).toEqual([0]);
    expect(after.replies).toEqual([]);
    expect(after.failures.map((f) => f.reason)).toEqual(['OUTCOME_UNKNOWN']);
    expect(state.ended).toEqual(['the lease has run out']);
  });

  it('ends when its kernel hears of a later leader (P5)', async () => {
    const { term, state } = await setUp();
    term.submit({ type: 'retire' }, 'control');
    await settle();
    expect(state.ended).toEqual(['a later epoch was seen']);
  });

  it('recovers what is too large for one answer of the store, and fails where nothing of it comes', async () => {
    const { gate, inner, open, state } = await setUp();
    const puts = Array.from({ length: 300 }, (_, i) => ({ key: `data/tally/0000/hot/${i}`, value: Uint8Array.of(1) }));
    for (let i = 0; i < puts.length; i += 100) await inner.write({ puts: puts.slice(i, i + 100) });
    gate.longestScan = 5;
    await open().load();
    expect(state.kernel.totals.size).toBe(300);
    gate.longestScan = 0;
    await expect(open().load()).rejects.toThrow(StoreUnavailable);
  });

  it('recovers active records when it loads, and others when a command needs them', async () => {
    const { term, open, state } = await setUp();
    for (const key of ['hot/a', 'hot/a', 'cold/b']) term.submit({ type: 'add', key }, 'work');
    await settle();
    const next = open();
    await next.load();
    await settle();
    expect([...state.kernel.totals]).toEqual([['hot/a', 2]]);
    const adder = requester();
    next.submit({ type: 'add', key: 'cold/b', origin: adder }, 'work');
    await settle();
    expect(adder.replies).toEqual([2]);
  });

  it('steps control before work', async () => {
    const { gate, term, state } = await setUp();
    gate.open = false;
    term.submit({ type: 'add', key: 'hot/first' }, 'work');
    await settle();
    term.submit({ type: 'add', key: 'hot/work' }, 'work');
    term.submit({ type: 'add', key: 'hot/control' }, 'control');
    gate.open = true;
    gate.waiting[0]!.pass();
    await settle();
    expect(state.sent.slice(2)).toEqual(['hot/control=1', 'hot/work=1']);
  });

  it('refuses with a retry delay when its queue is full (P8)', async () => {
    const { gate, term } = await setUp({ queueLimit: 1 });
    gate.open = false;
    term.submit({ type: 'add', key: 'hot/a' }, 'work');
    await settle();
    term.submit({ type: 'add', key: 'hot/b' }, 'work');
    const late = requester();
    term.submit({ type: 'add', key: 'hot/c', origin: late }, 'work');
    expect(late.failures).toMatchObject([{ reason: 'OVERLOADED', retryAfterMs: expect.any(Number) as number }]);
  });

  it('hands over after everybody who waits was answered, and refuses new work meanwhile', async () => {
    const { gate, term, state } = await setUp();
    gate.open = false;
    const adder = requester();
    term.submit({ type: 'add', key: 'hot/a', origin: adder }, 'work');
    await settle();
    const handedOver = term.handOver(1000);
    const late = requester();
    term.submit({ type: 'add', key: 'hot/b', origin: late }, 'work');
    expect(late.failures.map((f) => f.reason)).toEqual(['NO_LEADER']);
    gate.waiting[0]!.pass();
    await handedOver;
    expect(adder.replies).toEqual([1]);
    expect(state.ended).toEqual(['handed over']);
  });

  it('hands over at its bound, though somebody waits', async () => {
    const { term, clock, state } = await setUp();
    const holder = requester();
    term.submit({ type: 'hold', origin: holder }, 'work');
    await settle();
    const handedOver = term.handOver(1000);
    await clock.advance(1000);
    await handedOver;
    expect(holder.failures.map((f) => f.reason)).toEqual(['OUTCOME_UNKNOWN']);
    expect(state.ended).toEqual(['handed over']);
  });

  describe('what nobody waits for', () => {
    it('shares a write with what comes next', async () => {
      const { gate, term } = await setUp();
      gate.open = false;
      term.submit({ type: 'lazy', key: 'hot/a' }, 'control');
      await settle();
      expect(gate.waiting).toHaveLength(0);
      term.submit({ type: 'add', key: 'hot/b' }, 'work');
      await settle();
      expect(gate.waiting[0]!.batch.puts?.map((put) => put.key)).toEqual(['data/tally/0000/hot/a', 'data/tally/0000/hot/b']);
    });

    it('is written a moment later if nothing comes', async () => {
      const { gate, term, clock } = await setUp();
      gate.open = false;
      term.submit({ type: 'lazy', key: 'hot/a' }, 'control');
      await clock.advance(2);
      term.submit({ type: 'lazy', key: 'hot/b' }, 'control');
      await settle();
      expect(gate.waiting).toHaveLength(0);
      await clock.advance(2);
      expect(gate.waiting[0]!.batch.puts).toHaveLength(2);
    });

    it('is held back after a write too, and not beyond the time', async () => {
      const { gate, term, clock } = await setUp();
      gate.open = false;
      term.submit({ type: 'add', key: 'hot/a' }, 'work');
      await settle();
      term.submit({ type: 'lazy', key: 'hot/b' }, 'control');
      gate.waiting[0]!.pass();
      await settle();
      expect(gate.waiting).toHaveLength(1);
      await clock.advance(4);
      expect(gate.waiting).toHaveLength(2);
    });

    it('is written at once when the partition is handed over', async () => {
      const { inner, term, state } = await setUp();
      term.submit({ type: 'lazy', key: 'hot/a' }, 'control');
      await term.handOver(1000);
      expect(state.ended).toEqual(['handed over']);
      expect(await inner.get(['data/tally/0000/hot/a'])).toEqual([Uint8Array.of(1)]);
    });
  });

  it('lets those go who only wait, when it hands over', async () => {
    const { term, state } = await setUp();
    state.kernel.retire = { type: 'letGo' };
    const holder = requester();
    term.submit({ type: 'hold', origin: holder }, 'work');
    await settle();
    await term.handOver(1000);
    expect(holder.replies).toEqual([0]);
    expect(state.ended).toEqual(['handed over']);
  });

  it('steps what the end of a batch sets free', async () => {
    const { term, state } = await setUp();
    const holder = requester();
    term.submit({ type: 'hold', origin: holder }, 'work');
    await settle();
    state.kernel.sealFollow = { type: 'letGo' };
    term.submit({ type: 'add', key: 'hot/a' }, 'work');
    await settle();
    expect(holder.replies).toEqual([0]);
  });

  it('steps the tick when the kernel wants to be woken, not before', async () => {
    const { term, clock, state } = await setUp();
    state.kernel.wakeMs = 500;
    term.submit({ type: 'read', key: 'hot/a' }, 'work');
    await settle();
    await clock.advance(499);
    expect(state.kernel.ticks).toBe(0);
    await clock.advance(1);
    expect(state.kernel.ticks).toBe(1);
  });
});
