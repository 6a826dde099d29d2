import { writeFileSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule, TestSuite, Vitest } from 'vitest/node';

/** What the runner learns about one run of vitest. */
export interface Report {
  readonly passed: number;
  /** Names of failed tests, and of files and suites in which something failed outside a test. */
  readonly failed: readonly string[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

/** Writes a {@link Report} as JSON to the file that TEST_REPORT_FILE names. */
export default class ReportWriter implements Reporter {
  private isFiltered = false;

  onInit(vitest: Vitest): void {
    this.isFiltered = vitest.config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    let passed = 0;
    const failed = unhandled.map(({ message }) => `an error that nobody caught: ${message}`);
    const skipped: { name: string; reason: string }[] = [];
    for (const module of modules) {
      const name = (what: string): string => `${module.relativeModuleId}: ${what}`;
      failed.push(...module.errors().map(({ message }) => name(message)));
      for (const suite of module.children.allSuites()) failed.push(...suite.errors().map(({ message }) => name(`${suite.fullName}: ${message}`)));
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') passed++;
        else if (result.state === 'failed') failed.push(name(test.fullName));
        else {
          const note = result.state === 'skipped' ? result.note : undefined;
          // What `-t` leaves out was not asked for.
          if (this.isFiltered && note === undefined) continue;
          const reason = note ?? (isBroken(test.parent) ? 'what prepares it failed' : 'no reason given (context.skip takes one)');
          skipped.push({ name: name(test.fullName), reason });
        }
      }
    }
    const report: Report = { passed, failed, skipped };
    writeFileSync(process.env['TEST_REPORT_FILE']!, JSON.stringify(report));
  }
}

/** Whether a hook of the suite, or of one around it, failed. */
function isBroken(suite: TestSuite | TestModule): boolean {
  return suite.errors().length > 0 || (suite.type === 'suite' && isBroken(suite.parent));
}
