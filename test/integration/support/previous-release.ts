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

/**
 * @returns the script that runs a server of it.
 * @throws Error that says what to do, where these sources have no history or not all of it: what is promised of
 * updates is not tested then, which is no reason to pass
 */
export async function previousRelease(): Promise<string> {
  const folder = join(ROOT, '.cache', 'previous-release', PREVIOUS_RELEASE);
  if (!existsSync(folder)) {
    await requireHistory(ROOT);
    await extract(folder);
  }
  return join(folder, 'services', 'main.ts');
}

/** @throws Error if the git repository at `folder` lacks the previous release, or there is none. */
export async function requireHistory(folder: string): Promise<void> {
  const where = `the previous release, commit ${PREVIOUS_RELEASE}, which test/integration/support/previous-release.ts names`;
  const shallow = await git(folder, 'rev-parse', '--is-shallow-repository').catch(() => undefined);
  if (shallow === undefined) throw new Error(`there is no git history here to take ${where}, out of: test in a git clone of the repository`);
  if ((await git(folder, 'cat-file', '-e', `${PREVIOUS_RELEASE}^{commit}`).catch(() => undefined)) !== undefined) return;
  const remedy = shallow.trim() === 'true' ? 'the clone is shallow; "git fetch --unshallow" completes it' : 'fetch the branch that it is on, or name the commit that it has become';
  throw new Error(`the git history here lacks ${where}: ${remedy}`);
}

/** Under another name until it is whole. */
async function extract(folder: string): Promise<void> {
  mkdirSync(join(folder, '..'), { recursive: true });
  const aside = mkdtempSync(`${folder}-`);
  try {
    await git(ROOT, 'archive', '--format=tar', `--output=${join(aside, 'sources.tar')}`, PREVIOUS_RELEASE);
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

async function git(folder: string, ...args: string[]): Promise<string> {
  const { stdout } = await run('git', args, { cwd: folder, maxBuffer: MOST_ARCHIVE_BYTES });
  return stdout;
}
