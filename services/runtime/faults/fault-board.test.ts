import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../store/testing/manual-clock.ts';
import type { Fault } from './fault.ts';
import { FaultBoard, MAX_FAULTS } from './fault-board.ts';

const GET = 'txmesh.keyvalue.v1.KeyValueService/Get';

const fault = (change: Partial<Fault> = {}): Fault => ({
  name: 'slow',
  target: { type: 'calls', method: GET, participant: '' },
  latency: { minimumMs: 10, maximumMs: 10 },
  effect: { type: 'none' },
  afterExecution: false,
  probability: 1,
  durationMs: 1000,
  ...change,
});

describe('the faults of a replica', () => {
  let clock: ManualClock;
  let board: FaultBoard;
  let logs: string[];
  let chance: number;
  beforeEach(() => {
    clock = new ManualClock();
    logs = [];
    chance = 0;
    board = new FaultBoard({ clock, entropy: () => chance, log: (message, fields) => void logs.push(`${message} ${JSON.stringify(fields)}`) });
  });
  const strike = (method = GET, participant = 'inventory') => board.strikeCall(method, participant, false)?.name;

  test('end by themselves when their time has passed, and say so', () => {
    board.set(fault());
    clock.advance(999);
    expect(strike()).toBe('slow');
    clock.advance(1);
    expect(strike()).toBeUndefined();
    expect(board.list()).toEqual([]);
    expect(logs.at(-1)).toBe('fault ended {"fault":"slow","why":"expired","injections":1}');
  });

  test('begin anew when they are set again, and the time of the one before counts no more', () => {
    board.set(fault());
    clock.advance(600);
    board.set(fault({ durationMs: 1000 }));
    clock.advance(600);
    expect(board.list()).toMatchObject([{ injections: 0, expireMs: clock.nowMs() + 400 }]);
    clock.advance(400);
    expect(board.list()).toEqual([]);
  });

  test('strike as often as their probability says', () => {
    board.set(fault({ probability: 0.25 }));
    const struck = Array.from({ length: 100 }, (_, i) => ((chance = i / 100), strike())).filter((name) => name !== undefined);
    expect(struck).toHaveLength(25);
    expect(board.list()[0]!.injections).toBe(25);
  });

  test.each<[string, Fault['target'], boolean]>([
    ['the method', { type: 'calls', method: GET, participant: '' }, true],
    ['another method', { type: 'calls', method: `${GET}s`, participant: '' }, false],
    ['its service', { type: 'calls', method: 'txmesh.keyvalue.v1.KeyValueService/*', participant: '' }, true],
    ['another service', { type: 'calls', method: 'txmesh.keyvalue.v1.KeyValue/*', participant: '' }, false],
    ['every method of the participant', { type: 'calls', method: '', participant: 'inventory' }, true],
    ['every method of another participant', { type: 'calls', method: '', participant: 'payments' }, false],
    ['writes', { type: 'writes', participant: 'inventory', partition: undefined }, false],
  ])('strike a call when their target is %s', (_what, target, strikes) => {
    board.set(fault({ target }));
    expect(strike() === 'slow').toBe(strikes);
  });

  test.each<[string, Fault['target'], boolean]>([
    ['all writes', { type: 'writes', participant: '', partition: undefined }, true],
    ['the participant', { type: 'writes', participant: 'inventory', partition: undefined }, true],
    ['the partition', { type: 'writes', participant: 'inventory', partition: 2 }, true],
    ['another partition', { type: 'writes', participant: 'inventory', partition: 0 }, false],
    ['another participant', { type: 'writes', participant: 'payments', partition: 2 }, false],
    ['calls', { type: 'calls', method: '', participant: '' }, false],
  ])('strike a write when their target is %s', (_what, target, strikes) => {
    board.set(fault({ target }));
    expect(board.strikeWrite('inventory', 2) !== undefined).toBe(strikes);
  });

  test('are no more than there may be, and one of them can be replaced', () => {
    for (let i = 0; i < MAX_FAULTS; i++) expect(board.set(fault({ name: `f${i}` }))).toBeDefined();
    expect(board.set(fault({ name: 'more' }))).toBeUndefined();
    expect(board.set(fault({ name: 'f7' }))).toBeDefined();
    expect(board.clear(undefined)).toHaveLength(MAX_FAULTS);
  });

  test('write one line of the log in a second, with how often they struck', () => {
    board.set(fault({ durationMs: 60_000 }));
    for (let i = 0; i < 5; i++) strike();
    clock.advance(1000);
    strike();
    expect(logs.filter((line) => line.startsWith('fault injected'))).toEqual([
      `fault injected {"fault":"slow","method":"${GET}","participant":"inventory","times":1}`,
      `fault injected {"fault":"slow","method":"${GET}","participant":"inventory","times":5}`,
    ]);
  });

  test('leave no timer behind', () => {
    board.set(fault());
    board.close();
    clock.advance(10_000);
    expect(logs.filter((line) => line.startsWith('fault ended'))).toEqual([]);
  });
});
