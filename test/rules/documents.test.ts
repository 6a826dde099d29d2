import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { PAGES } from '../../docs/reference/pages.ts';
import { catalogueOfMesh } from '../../services/mesh/access.ts';
import { readPolicy } from '../../services/runtime/security/read-policy.ts';
import { REASONS } from '../../services/kernel/failure.ts';
import { INSTRUMENTS, type Instrument } from '../../services/runtime/telemetry/metrics/instruments.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');

test('docs/errors.md explains every reason, with its gRPC code, and no other', () => {
  const rows = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \| `([A-Z_]+)` \| (.+) \| (.+) \|$/gm)];
  expect(Object.fromEntries(rows.map(([, reason, code]) => [reason, code]))).toEqual(REASONS);
  expect(new Set(rows.map(([, reason]) => reason)).size).toBe(rows.length);
});

test('docs/metrics.md lists every instrument as it is, and no other', () => {
  const rows = [...read('docs/metrics.md').matchAll(/^\| `([a-z0-9_.]+)` \| ([a-z ]+) \| (\S+) \| (.*) \| (.+) \|$/gm)];
  const listed = rows.map(([, name, kind, unit, attributes, description]) => ({
    name,
    kind,
    unit,
    attributes: [...attributes!.matchAll(/`([^`]+)`/g)].map(([, attribute]) => attribute),
    description,
  }));
  const instruments: readonly (readonly [string, Instrument])[] = Object.entries(INSTRUMENTS);
  expect(listed).toEqual(instruments.map(([name, { kind, unit, attributes, description }]) => ({ name, kind, unit, attributes, description })));
});

test('docs/security.md has a policy that is right, and says what every method needs', () => {
  const text = read('docs/security.md');
  const [, policy] = /```yaml\n([\s\S]*?)```/.exec(text)!;
  const { rules, limits, peers } = readPolicy('docs/security.md', policy!, catalogueOfMesh());
  expect([rules.length, limits.length, peers.length]).toEqual([5, 2, 1]);
  const said = new Map<string, string>();
  for (const [, service, right, about, methods] of text.matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$/gm))
    for (const method of methods!.split(', ')) said.set(`${service}/${method}`, `${right} ${about}`);
  const entries = catalogueOfMesh().entries.map(({ name, access: { right, about } }) => {
    const shown = right === 'health' || right === 'reflection' ? 'ordinary' : right;
    return [name, `${shown} ${about.join(', ') || '—'}`] as const;
  });
  expect(said).toEqual(new Map(entries));
});

test('every invariant of ARCHITECTURE.md is cited in the code and in a test', () => {
  const invariants = [...read('ARCHITECTURE.md').matchAll(/^- \*\*([PTKQC]\d+)\b/gm)].map(([, number]) => number!);
  expect(new Set(invariants).size).toBe(invariants.length);
  const root = path.resolve(import.meta.dirname, '../..');
  const files = globSync('{services,test}/**/*.ts', { cwd: root, exclude: ['services/gen/**'] });
  const isTest = (file: string) => /^test\/|\.test\.ts$|\/testing\//.test(file);
  const citedIn = (some: readonly string[]) => new Set(some.flatMap((file) => citedBy(read(file))));
  const [code, tests] = [citedIn(files.filter((file) => !isTest(file))), citedIn(files.filter(isTest))];
  expect(invariants.filter((number) => !code.has(number))).toEqual([]);
  expect(invariants.filter((number) => !tests.has(number))).toEqual([]);
});

/** The numbers that a text has, those between the ends of "Q7 to Q9" too. */
function citedBy(text: string): string[] {
  const between = [...text.matchAll(/\b([PTKQC])(\d+) to \1(\d+)\b/g)].flatMap(([, letter, from, to]) =>
    Array.from({ length: Number(to) - Number(from) }, (_, i) => `${letter}${Number(from) + i}`),
  );
  return [...between, ...[...text.matchAll(/\b[PTKQC]\d+\b/g)].map(([number]) => number)];
}

test.each(Object.entries(PAGES))('%s has its tables as npm run reference writes them', (file, write) => {
  expect(read(file)).toBe(write(read(file)));
});

test('docs/README.md leads to every page, and what pages of docs/ link to is there', () => {
  const pages = readdirSync(path.join(ROOT, 'docs')).filter((file) => file.endsWith('.md'));
  const linked = (page: string): string[] => Array.from(read(`docs/${page}`).matchAll(/\]\((?!https?:|#)([^)#]+)/g), ([, target]) => target!);
  expect(pages.filter((page) => page !== 'README.md' && !linked('README.md').includes(page))).toEqual([]);
  const missing = pages.flatMap((page) => linked(page).filter((target) => !existsSync(path.join(ROOT, 'docs', target))).map((target) => `${page}: ${target}`));
  expect(missing).toEqual([]);
});

test('CHANGELOG.md has a section for the version in package.json', () => {
  const { version } = JSON.parse(read('package.json'));
  expect(read('CHANGELOG.md')).toMatch(new RegExp(`^## \\[${version.replaceAll('.', '\\.')}\\]`, 'm'));
});

interface Lock {
  readonly packages: Readonly<
    Record<string, { hasInstallScript?: boolean; integrity?: string; optionalDependencies?: Record<string, string> }>
  >;
}
const lockedPackages = () => Object.entries((JSON.parse(read('package-lock.json')) as Lock).packages);
const nameOf = (folder: string) => folder.replace(/^.*node_modules\//, '');

test('each package that has an install script is decided on in allowScripts', () => {
  // fsevents, for macOS alone, is not installed by its script but ships its binary.
  const withScript = lockedPackages().filter(([name, entry]) => entry.hasInstallScript && nameOf(name) !== 'fsevents');
  const decided = Object.keys(JSON.parse(read('package.json')).allowScripts);
  expect(decided.sort()).toEqual(withScript.map(([name]) => nameOf(name)).sort());
});

test('package-lock.json holds a hash for every package on every platform, and no address to download from', () => {
  const entries = lockedPackages().filter(([name]) => name !== '');
  expect(entries.filter(([, entry]) => !entry.integrity).map(([name]) => name)).toEqual([]);
  const locked = new Set(entries.map(([name]) => nameOf(name)));
  const optional = entries.flatMap(([, entry]) => Object.keys(entry.optionalDependencies ?? {}));
  expect(optional.filter((name) => !locked.has(name))).toEqual([]);
  expect(read('package-lock.json')).not.toContain('"resolved"');
});
