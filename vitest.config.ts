import { defineConfig } from 'vitest/config';

/** The condition under which the project's own name leads to its TypeScript sources. */
const CONDITIONS = ['txmesh-source', 'node', 'import', 'module', 'default'];

/** Suites run one after the other (test/runner/run.ts); the files of a suite side by side unless it says no. */
const suite = (name: string, include: string, test: { testTimeout: number; fileParallelism?: boolean }) => ({
  resolve: { conditions: CONDITIONS },
  ssr: { resolve: { conditions: CONDITIONS } },
  test: {
    name,
    include: [include],
    execArgv: ['--conditions=txmesh-source'],
    hookTimeout: test.testTimeout,
    ...test,
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
      // Processes, ports and elections: one file at a time, so that timings mean something on two cores.
      suite('integration', 'test/integration/**/*.test.ts', { testTimeout: 3 * MINUTE, fileParallelism: false }),
      suite('package', 'test/package/**/*.test.ts', { testTimeout: 3 * MINUTE, fileParallelism: false }),
      suite('deploy', 'test/deploy/**/*.test.ts', { testTimeout: 3 * MINUTE }),
      suite('load', 'test/load/**/*.test.ts', { testTimeout: 3 * MINUTE, fileParallelism: false }),
      suite('readme', 'test/readme/**/*.test.ts', { testTimeout: 3 * MINUTE, fileParallelism: false }),
    ],
  },
});
