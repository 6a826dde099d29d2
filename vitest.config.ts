import { defineConfig } from 'vitest/config';

/** The condition under which the project's own name leads to its TypeScript sources. */
const CONDITIONS = ['txmesh-source', 'node', 'import', 'module', 'default'];

interface Suite {
  readonly testTimeout: number;
  /** How many of its files run at a time. Default: as many as there are processors. */
  readonly maxWorkers?: number;
}

/** Suites run one after the other (test/runner/run.ts); the files of a suite side by side unless it says no. */
const suite = (name: string, include: string, { testTimeout, maxWorkers }: Suite) => ({
  resolve: { conditions: CONDITIONS },
  ssr: { resolve: { conditions: CONDITIONS } },
  test: {
    name,
    include: [include],
    execArgv: ['--conditions=txmesh-source'],
    testTimeout,
    hookTimeout: testTimeout,
    // By itself vitest leaves one processor out, which is half of two.
    maxWorkers: maxWorkers ?? '100%',
    // In one run those that differ in that have to run one after the other.
    sequence: { groupOrder: maxWorkers ?? 0 },
  },
});

const SECOND = 1000;
const MINUTE = 60 * SECOND;

export default defineConfig({
  test: {
    allowOnly: false,
    projects: [
      suite('rules', 'test/rules/**/*.test.ts', { testTimeout: MINUTE }),
      suite('unit', 'services/**/*.test.ts', { testTimeout: 30 * SECOND }),
      suite('simulation', 'test/simulation/**/*.test.ts', { testTimeout: 10 * MINUTE }),
      // Processes and elections, with deadlines and leases that mean something on two cores.
      suite('integration', 'test/integration/**/*.test.ts', { testTimeout: 3 * MINUTE, maxWorkers: 1 }),
      suite('package', 'test/package/**/*.test.ts', { testTimeout: 3 * MINUTE, maxWorkers: 1 }),
      suite('deploy', 'test/deploy/**/*.test.ts', { testTimeout: 3 * MINUTE }),
      suite('load', 'test/load/**/*.test.ts', { testTimeout: 3 * MINUTE, maxWorkers: 1 }),
      suite('readme', 'test/readme/**/*.test.ts', { testTimeout: 3 * MINUTE, maxWorkers: 1 }),
    ],
  },
});
