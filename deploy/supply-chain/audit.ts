/** `npm run audit`: known vulnerabilities of the dependencies for production. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { readFlags } from '../local/flags.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUTPUT_BYTES = 64 * 1024 * 1024;

interface Vulnerability {
  readonly name: string;
  readonly severity: string;
  readonly range: string;
  readonly via: readonly (string | { readonly title: string; readonly url: string })[];
}

interface Report {
  readonly vulnerabilities?: Readonly<Record<string, Vulnerability>>;
  readonly metadata?: { readonly dependencies: { readonly prod: number } };
  /** There is none. */
  readonly message?: string;
  readonly error?: { readonly summary?: string };
}

const USAGE = `
npm run audit -- [--required]: asks the registry for known vulnerabilities of the dependencies for production

Ends with 1 where one is high or critical; with 0, and a warning that can't be overlooked, where the registry
answers no such questions, as mirrors often don't.

  --required   makes that a failure, too
`;

const { required } = readFlags(USAGE, { required: { type: 'boolean', default: false } });

const { stdout, stderr, error } = spawnSync('npm', ['audit', '--json', '--package-lock-only', '--omit=dev', '--audit-level=high'], {
  cwd: ROOT,
  encoding: 'utf8',
  maxBuffer: OUTPUT_BYTES,
});
if (error !== undefined) throw error;
process.exitCode = tell(parse(stdout));

function parse(text: string): Report {
  try {
    return JSON.parse(text) as Report;
  } catch {
    return { message: stderr || text || 'npm audit said nothing' };
  }
}

function tell({ vulnerabilities, metadata, message, error: failure }: Report): number {
  if (vulnerabilities === undefined || metadata === undefined) {
    const reason = [message, failure?.summary].filter((part) => part !== undefined && part !== '').join(': ');
    console.error(`\n!!! NOT AUDITED !!!\nThe registry does not tell of vulnerabilities (${reason.trim()}).`);
    console.error('Ask one that does: npm_config_registry=https://registry.npmjs.org npm run audit\n');
    return required ? 1 : 0;
  }
  const found = Object.values(vulnerabilities);
  for (const { name, range, severity, via } of found) {
    const reasons = via.map((reason) => (typeof reason === 'string' ? `by way of ${reason}` : `${reason.title} (${reason.url})`));
    console.log(`${severity}: ${name} ${range}: ${reasons.join('; ')}`);
  }
  const serious = found.filter(({ severity }) => severity === 'high' || severity === 'critical').length;
  console.log(`${metadata.dependencies.prod} dependencies, ${found.length} vulnerable, ${serious} of them high or critical`);
  return serious > 0 ? 1 : 0;
}
