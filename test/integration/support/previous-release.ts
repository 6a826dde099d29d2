/**
 * The previous release, to run beside this version: its sources, taken out of the repository's own history
 * into .cache once, with generated code of their own.
 */

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

/**
 * The commit that stands for the release that servers are updated from. When a version is released, its
 * commit goes here; before the first one it is a commit whose records and contracts 0.1.0 promises to keep.
 */
const PREVIOUS_RELEASE = 'c8ebef7f5dfd38ac80ca54cddf095fa8962559db';

const ROOT = resolve(import.meta.dirname, '../../..');
const MOST_ARCHIVE_BYTES = 256 * 2 ** 20;
const run = promisify(execFile);

export type PreviousRelease =
  /** `main` is the script that runs a server of it. */
  | { readonly type: 'here'; readonly main: string }
  /** This copy of the sources has no history, or not all of it. */
  | { readonly type: 'absent'; readonly reason: string };

export async function previousRelease(): Promise<PreviousRelease> {
  const folder = join(ROOT, '.cache', 'previous-release', PREVIOUS_RELEASE);
  const main = join(folder, 'services', 'main.ts');
  if (existsSync(folder)) return { type: 'here', main };
  const where = `commit ${PREVIOUS_RELEASE} (test/integration/support/previous-release.ts)`;
  const shallow = await git('rev-parse', '--is-shallow-repository').catch(() => undefined);
  if (shallow === undefined) return { type: 'absent', reason: `these sources are in no git repository, and the previous release is its ${where}` };
  if ((await git('cat-file', '-e', `${PREVIOUS_RELEASE}^{commit}`).catch(() => undefined)) === undefined) {
    const remedy = shallow.trim() === 'true' ? 'the clone is shallow: git fetch --unshallow brings it' : 'its history was cut off, or another commit is to be named';
    return { type: 'absent', reason: `this repository lacks ${where}: ${remedy}` };
  }
  await extract(folder);
  return { type: 'here', main };
}

/** Under another name until it is whole. */
async function extract(folder: string): Promise<void> {
  mkdirSync(join(folder, '..'), { recursive: true });
  const aside = mkdtempSync(`${folder}-`);
  try {
    await git('archive', '--format=tar', `--output=${join(aside, 'sources.tar')}`, PREVIOUS_RELEASE);
    await run('tar', ['-xf', 'sources.tar'], { cwd: aside });
    rmSync(join(aside, 'sources.tar'));
    // npm would empty a folder that is linked, so only what needs nothing else is.
    if (isInstalledHere(aside)) symlinkSync(join(ROOT, 'node_modules'), join(aside, 'node_modules'));
    await run(process.execPath, ['deploy/local/bootstrap.cjs', 'generate'], { cwd: aside });
    renameSync(aside, folder);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/** Whether our node_modules has every package in the version that its lock file names. */
function isInstalledHere(sources: string): boolean {
  type Packages = Readonly<Record<string, { readonly version: string; readonly optional?: boolean }>>;
  const packagesIn = (file: string): Packages => (JSON.parse(readFileSync(file, 'utf8')) as { packages: Packages }).packages;
  const here = packagesIn(join(ROOT, 'node_modules', '.package-lock.json'));
  return Object.entries(packagesIn(join(sources, 'package-lock.json'))).every(([name, { version, optional }]) => {
    const found = here[name];
    return name === '' || (found === undefined ? optional === true : found.version === version);
  });
}

async function git(...args: string[]): Promise<string> {
  const { stdout } = await run('git', args, { cwd: ROOT, maxBuffer: MOST_ARCHIVE_BYTES });
  return stdout;
}
