/** Shared by the files that prove, bug by bug, that the checkers see. */

import { expect, test } from 'vitest';
import type { Bug } from './bugs.ts';
import { runSeeds } from './pool.ts';

export function expectToFind(bugs: readonly Bug[]): void {
  for (const { name, sentence, seeds, profile, switches } of bugs) {
    test(`finds within ${seeds} seeds that ${sentence} (${name})`, async () => {
      const summary = await runSeeds({ start: 1, count: seeds, profile, switches, stopAtFirst: true, workers: 1 });
      expect(summary.failed.length).toBeGreaterThan(0);
      // A crash of the code is no finding of a checker.
      expect(summary.failed[0]!.violations.filter((violation) => violation.includes('defect'))).toEqual([]);
    });
  }
}
