/**
 * Finds the Go programs that tests run beside the project (etcd, etcdctl, etcdutl, grpcurl, kustomize, k6): on PATH when
 * new enough, else in a cache folder, else built there once through the Go module proxy. For images, other programs are
 * built in the same way (buildOnce).
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface GoTool {
  /** The program's name, as on PATH. */
  readonly name: string;
  /** The package to build, `module/path/v3`. */
  readonly package: string;
  /** With its v: the version that is built. */
  readonly version: string;
  /** A program on PATH serves from this version on, like 3.6. Default: any. */
  readonly minimum?: string;
  /** What makes the program print its version. */
  readonly versionArguments: readonly string[];
}

export const GO_TOOLS = {
  etcd: { name: 'etcd', package: 'go.etcd.io/etcd/server/v3', version: 'v3.6.5', minimum: '3.6', versionArguments: ['--version'] },
  etcdctl: { name: 'etcdctl', package: 'go.etcd.io/etcd/etcdctl/v3', version: 'v3.6.5', minimum: '3.6', versionArguments: ['version'] },
  etcdutl: { name: 'etcdutl', package: 'go.etcd.io/etcd/etcdutl/v3', version: 'v3.6.5', minimum: '3.6', versionArguments: ['version'] },
  grpcurl: {
    name: 'grpcurl',
    package: 'github.com/fullstorydev/grpcurl/cmd/grpcurl',
    version: 'v1.9.3',
    versionArguments: ['-version'],
  },
  kustomize: {
    name: 'kustomize',
    package: 'sigs.k8s.io/kustomize/kustomize/v5',
    version: 'v5.7.1',
    minimum: '5.0',
    versionArguments: ['version'],
  },
  k6: { name: 'k6', package: 'go.k6.io/k6', version: 'v1.8.1', minimum: '1.8', versionArguments: ['version'] },
} as const satisfies Record<string, GoTool>;

export type FoundTool = { readonly path: string } | { readonly path: undefined; readonly reason: string };

/** k6 is the longest: four minutes of CPU, which took over ten on a machine with other work. */
const BUILD_TIMEOUT_MS = 25 * 60_000;
const BUILD_OUTPUT_BYTES = 16 * 1024 * 1024;
/** A lock that its holder has not touched for this long belongs to a process that is gone. */
const LOCK_STALE_MS = 30_000;
const LOCK_TOUCH_MS = 5_000;
const LOCK_POLL_MS = 250;

const found = new Map<GoTool, Promise<FoundTool>>();

/** Looked for once a process. Never rejects: the reason tells what to install. */
export function findGoTool(tool: GoTool): Promise<FoundTool> {
  let result = found.get(tool);
  if (result === undefined) {
    result = find(tool).catch((error: unknown) => ({ path: undefined, reason: `${tool.name}: ${reasonOf(error)}` }));
    found.set(tool, result);
  }
  return result;
}

/**
 * The paths of the tools, or undefined, told loudly, where one is missing: what needs it can't be done, and a
 * test is to be skipped. Where CI=true a missing tool is an error: a skipped test proves nothing.
 */
export async function requireGoTools<Name extends keyof typeof GO_TOOLS>(...names: Name[]): Promise<Record<Name, string> | undefined> {
  const paths: Partial<Record<Name, string>> = {};
  for (const name of names) {
    const tool = await findGoTool(GO_TOOLS[name]);
    if (tool.path === undefined) {
      if (process.env['CI'] === 'true') throw new Error(`not run: this needs ${tool.reason}`);
      console.error(`\n!!! NOT RUN: this needs ${tool.reason}\n`);
      return undefined;
    }
    paths[name] = tool.path;
  }
  return paths as Record<Name, string>;
}

/** Whether a dotted version, with or without a v, is at least another. */
export function isAtLeast(version: string, minimum: string): boolean {
  const numbers = (text: string): number[] => text.replace(/^v/, '').split('.').map((part) => Number.parseInt(part, 10));
  const have = numbers(version);
  for (const [index, wanted] of numbers(minimum).entries()) {
    const mine = have[index] ?? 0;
    if (mine !== wanted) return mine > wanted;
  }
  return true;
}

async function find(tool: GoTool): Promise<FoundTool> {
  if (await serves(tool, tool.name)) return { path: tool.name };
  try {
    return { path: await buildGoTool(tool) };
  } catch (error) {
    if (!(error instanceof GoIsMissing)) throw error;
    return { path: undefined, reason: `${tool.name}${tool.minimum === undefined ? '' : ` ${tool.minimum} or newer`} on PATH, or go to build it` };
  }
}

/** Built here, whatever is on PATH: it needs no library, so that it also runs in an image of its own. */
export function buildGoTool(tool: Pick<GoTool, 'name' | 'package' | 'version'>): Promise<string> {
  return buildOnce(`${tool.name}-${tool.version}-static`, (workshop) => buildPackage(tool, workshop));
}

/** There is nothing to build with. */
export class GoIsMissing extends Error {}

/**
 * A program of the cache folder, built where it is not there yet, by one process at a time.
 * @param name of the file, with the version in it
 * @param build makes it in an empty folder, and returns its path there
 */
export async function buildOnce(name: string, build: (workshop: string) => Promise<string>): Promise<string> {
  const folder = join(process.env['TXMESH_CACHE_DIR'] ?? join(homedir(), '.cache', 'txmesh'), 'go-tools');
  const target = join(folder, name);
  if (await exists(target)) return target;
  await run('go', ['version']).catch((error: unknown) => {
    throw new GoIsMissing(`${name} is not there, and go to build it is not on PATH`, { cause: error });
  });
  await mkdir(folder, { recursive: true });
  await underLock(`${target}.lock`, async () => {
    if (await exists(target)) return;
    const workshop = await mkdtemp(join(folder, 'build-'));
    try {
      console.error(`building ${name} once, into ${folder}`);
      await rename(await build(workshop), target);
    } finally {
      await rm(workshop, { recursive: true, force: true });
    }
  });
  return target;
}

/** Whether a program is there, and new enough. */
export async function serves(tool: Pick<GoTool, 'minimum' | 'versionArguments'>, program: string): Promise<boolean> {
  try {
    const { stdout, stderr } = await run(program, tool.versionArguments);
    const version = /\d+\.\d+(\.\d+)?/.exec(stdout + stderr)?.[0];
    return version !== undefined && isAtLeast(version, tool.minimum ?? '0');
  } catch {
    return false;
  }
}

/** How go is run in a workshop: without cgo, so that programs need no library. */
export const goOptions = (folder: string) => ({
  cwd: folder,
  timeout: BUILD_TIMEOUT_MS,
  maxBuffer: BUILD_OUTPUT_BYTES,
  env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod', GOWORK: 'off' },
});

/** For `go build`: without what debuggers need, which is half of a program. */
export const SMALL = ['-trimpath', '-ldflags=-s -w'] as const;

/**
 * In a throw-away module that requires the tool's: `go install package@version` refuses modules with
 * replace directives, which etcd's has. The go line makes Go prune the module graph; without it, it
 * finds packages of grpcurl's in two modules.
 */
export async function buildPackage(tool: Pick<GoTool, 'package' | 'version'>, workshop: string): Promise<string> {
  const options = goOptions(workshop);
  const built = join(workshop, 'built');
  await writeFile(join(workshop, 'go.mod'), 'module workshop\n\ngo 1.21\n');
  // The package, not its module: so that everything it imports is settled, too.
  await run('go', ['get', `${tool.package}@${tool.version}`], options);
  await run('go', ['build', ...SMALL, '-o', built, tool.package], options);
  return built;
}

/** Several test processes may want the same tool at once: one builds, the others wait. */
async function underLock(lock: string, work: () => Promise<void>): Promise<void> {
  const lastMoment = Date.now() + BUILD_TIMEOUT_MS;
  while (!(await takeLock(lock))) {
    if (Date.now() > lastMoment) throw new Error(`another process has held ${lock} for ${BUILD_TIMEOUT_MS} ms: remove it`);
    await pause(LOCK_POLL_MS);
  }
  const touching = setInterval(() => void utimes(lock, new Date(), new Date()).catch(() => undefined), LOCK_TOUCH_MS);
  try {
    await work();
  } finally {
    clearInterval(touching);
    await rm(lock, { recursive: true, force: true });
  }
}

async function takeLock(lock: string): Promise<boolean> {
  try {
    await mkdir(lock);
    return true;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    const age = await stat(lock).then(({ mtimeMs }) => Date.now() - mtimeMs, () => 0);
    if (age > LOCK_STALE_MS) await rm(lock, { recursive: true, force: true });
    return false;
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
