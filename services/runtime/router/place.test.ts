import { describe, expect, test } from 'vitest';
import type { Leader } from '../cluster/view.ts';
import type { Clock } from '../clock.ts';
import type { Requester } from '../partition/term.ts';
import { call } from './call.ts';
import { Places } from './place.ts';

/** A clock that a test moves. */
class ManualClock implements Clock {
  ms = 1000;
  private timers = new Set<{ atMs: number; run: () => void }>();
  nowMs = (): number => this.ms;
  monotonicMs = (): number => this.ms;
  setTimer(delayMs: number, run: () => void) {
    const timer = { atMs: this.ms + delayMs, run };
    this.timers.add(timer);
    return { cancel: () => void this.timers.delete(timer) };
  }
  advance(ms: number): void {
    this.ms += ms;
    for (const timer of [...this.timers]) {
      if (timer.atMs > this.ms) continue;
      this.timers.delete(timer);
      timer.run();
    }
  }
  get pending(): number {
    return this.timers.size;
  }
}

class FakeView {
  known: Leader | undefined;
  listeners = new Set<() => void>();
  leader = (): Leader | undefined => this.known;
  onChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };
  show(leader: Leader | undefined): void {
    this.known = leader;
    for (const listener of [...this.listeners]) listener();
  }
}

const OTHER: Leader = { replica: 'b', address: 'b:1', epoch: 7 };
const FIRST_HAND = { forwarded: false };

function setUp(term?: string) {
  const view = new FakeView();
  const clock = new ManualClock();
  const here = { term };
  const places = new Places({ view, clock, address: 'a:1', term: () => here.term });
  return { view, clock, places, here };
}

describe('where a request goes', () => {
  test('to the term here, whatever the view says', async () => {
    const { places, view } = setUp('term');
    view.known = OTHER;
    expect(await places.find('s', 0, FIRST_HAND)).toEqual({ type: 'local', term: 'term' });
  });

  test('to the leader elsewhere, but not a second time', async () => {
    const { places, view } = setUp();
    view.known = OTHER;
    expect(await places.find('s', 0, FIRST_HAND)).toEqual({ type: 'remote', leader: OTHER });
    expect(await places.find('s', 0, { forwarded: true })).toEqual({ type: 'nobody' });
  });

  test('a leader of our own address without a term is nobody', async () => {
    const { places, view } = setUp();
    view.known = { ...OTHER, address: 'a:1' };
    expect(await places.find('s', 0, { forwarded: true })).toEqual({ type: 'nobody' });
  });

  test('waits for a leader to appear', async () => {
    const { places, view, clock } = setUp();
    const found = places.find('s', 0, FIRST_HAND);
    view.show(undefined);
    view.show(OTHER);
    expect(await found).toEqual({ type: 'remote', leader: OTHER });
    expect([view.listeners.size, clock.pending]).toEqual([0, 0]);
  });

  test('gives up after a second, at the deadline, and when the caller goes', async () => {
    const { places, view, clock } = setUp();
    const waited = places.find('s', 0, FIRST_HAND);
    const short = places.find('s', 0, { forwarded: false, deadlineMs: clock.ms + 10 });
    const controller = new AbortController();
    const gone = places.find('s', 0, { forwarded: false, signal: controller.signal });
    controller.abort();
    expect(await gone).toEqual({ type: 'nobody' });
    clock.advance(10);
    expect(await short).toEqual({ type: 'nobody' });
    clock.advance(990);
    expect(await waited).toEqual({ type: 'nobody' });
    expect([view.listeners.size, clock.pending]).toEqual([0, 0]);
  });
});

describe('one command, one reply', () => {
  type Command = { type: 'ask'; origin: Requester<string> } | { type: 'cancel'; target: unknown };

  function term() {
    const commands: Command[] = [];
    const forgotten: unknown[] = [];
    return {
      commands,
      forgotten,
      epoch: 1,
      submit: (command: Command) => void commands.push(command),
      forget: (requester: unknown) => void forgotten.push(requester),
    };
  }
  const ask = (origin: Requester<string>): Command => ({ type: 'ask', origin });
  const cancel = (target: Requester<string>): Command => ({ type: 'cancel', target });

  test('the reply is handed on, and what comes later is not', async () => {
    const clock = new ManualClock();
    const at = term();
    const reply = call<Command, string>(at, ask, 'work', { clock, deadlineMs: 2000, changes: true }, cancel);
    const [command] = at.commands as [Extract<Command, { type: 'ask' }>];
    command.origin.onReply('yes');
    command.origin.onReply('no');
    expect(await reply).toEqual({ reply: 'yes' });
    expect([clock.pending, at.commands.length]).toEqual([0, 1]);
  });

  test.each([
    [true, /not known whether/],
    [false, /^(?!.*not known)/],
  ])('the deadline passes for a command that changes something: %s', async (changes, text) => {
    const clock = new ManualClock();
    const at = term();
    const reply = call<Command, string>(at, ask, 'work', { clock, deadlineMs: 2000, changes }, cancel);
    clock.advance(1000);
    expect(await reply).toMatchObject({ failure: { reason: 'DEADLINE_EXCEEDED', message: expect.stringMatching(text) } });
    expect(at.commands[1]?.type).toBe('cancel');
  });

  test('a caller that is gone is not asked for', async () => {
    const clock = new ManualClock();
    const at = term();
    const signal = AbortSignal.abort();
    expect(await call<Command, string>(at, ask, 'work', { clock, signal, changes: true })).toMatchObject({ failure: { reason: 'CANCELLED' } });
    const controller = new AbortController();
    const reply = call<Command, string>(at, ask, 'work', { clock, signal: controller.signal, changes: true }, cancel);
    controller.abort();
    expect(await reply).toMatchObject({ failure: { reason: 'CANCELLED' } });
  });
});
