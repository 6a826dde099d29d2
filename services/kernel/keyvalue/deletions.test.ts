import { expect, test } from 'vitest';
import { Deletions } from './deletions.ts';

test('what was deleted in earlier terms was deleted by the revision of recovery', () => {
  const deletions = new Deletions();
  expect(deletions.version('a')).toBe(0);
  deletions.lead(7);
  expect(deletions.version('a')).toBe(7);
});

test('T11 the version of an absent key never falls and is never below its last deletion, whatever is forgotten', () => {
  const deletions = new Deletions();
  const last = new Map<string, number>();
  const seen = new Map<string, number>();
  let changes = 0;
  for (let revision = 1; revision <= 30_000; revision++) {
    // Some names come back, most do not.
    const name = revision % 7 === 0 ? 'often' : `k${revision}`;
    deletions.add(name, revision);
    last.set(name, revision);
    if (revision % 1000 !== 0) continue;
    for (const [name, at] of last) {
      const version = deletions.version(name);
      expect(version).toBeGreaterThanOrEqual(Math.max(at, seen.get(name) ?? 0));
      expect(version).toBeLessThanOrEqual(revision);
      seen.set(name, version);
    }
    const never = deletions.version('never');
    if (never !== (seen.get('never') ?? 0)) changes++;
    seen.set('never', never);
  }
  // That of a key nobody touches changes with thousands of deletions, not with each.
  expect(changes).toBeLessThan(8);
});
