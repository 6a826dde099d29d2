import { expect, test } from 'vitest';
import { Session, SESSION_WINDOW } from './session.ts';

test('what is settled below grows over results that come in any order', () => {
  const session = new Session(1_700_000_000_000, 0);
  const [one, two, three] = [session.take(), session.take(), session.take()];
  expect(session.settledBelow).toBe(1);
  session.settle(two);
  expect(session.settledBelow).toBe(1);
  session.settle(one);
  expect(session.settledBelow).toBe(three);
  session.settle(three);
  expect(session.settledBelow).toBe(4);
});

test('a session is worn when it is old, or when too much lies above the lowest unsettled one', () => {
  const session = new Session(1_700_000_000_000, 0);
  session.take();
  expect(session.isWorn(0)).toBe(false);
  expect(session.isWorn(5 * 60_000)).toBe(true);
  for (let i = 1; i < SESSION_WINDOW; i++) session.settle(session.take());
  expect(session.isWorn(0)).toBe(true);
  session.settle(1);
  expect(session.isWorn(0)).toBe(false);
});
