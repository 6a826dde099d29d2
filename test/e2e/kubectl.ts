/** kubectl as a function. */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Of the test's own: it is deleted before and after. */
export const NAMESPACE = 'txmesh-e2e';
const BOUND_MS = 5 * 60_000;

export interface RunOptions {
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly boundMs?: number;
  /** Ends it before its time. */
  readonly signal?: AbortSignal;
}

/** What the program prints. @throws with what it said where it does not end with 0 in time. */
export async function run(program: string, args: readonly string[], { input, env, cwd, boundMs = BOUND_MS, signal }: RunOptions = {}): Promise<string> {
  const bound = AbortSignal.timeout(boundMs);
  const ends = signal === undefined ? bound : AbortSignal.any([bound, signal]);
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'], signal: ends });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const failed = (how: string, cause?: unknown): Error => new Error(`${program} ${args.join(' ')} ${how}:\n${stdout}${stderr}`, { cause });
  const [code] = (await once(child, 'close').catch((error: unknown) => {
    throw failed(bound.aborted ? `did not end within ${boundMs} ms` : String(error), error);
  })) as [number | null];
  if (code !== 0) throw failed(`ended with ${code}`);
  return stdout;
}

export const kubectl = (...args: string[]): Promise<string> => run('kubectl', ['--namespace', NAMESPACE, ...args]);

/** Resolves with the first of the conditions that the resource has. @throws if none has come in time */
export async function waitFor<Condition extends string>(resource: string, conditions: readonly Condition[], seconds: number): Promise<Condition> {
  const found = new AbortController();
  const args = (condition: string): string[] => ['--namespace', NAMESPACE, 'wait', resource, `--for=condition=${condition}`, `--timeout=${seconds}s`];
  const boundMs = (seconds + 30) * 1000;
  const waits = conditions.map((condition) => run('kubectl', args(condition), { boundMs, signal: found.signal }).then(() => condition));
  try {
    return await Promise.any(waits);
  } catch (error) {
    throw new AggregateError((error as AggregateError).errors, `${resource} was neither ${conditions.join(' nor ')} within ${seconds} s`, { cause: error });
  } finally {
    found.abort();
  }
}

export const apply = (manifest: string): Promise<string> => run('kubectl', ['apply', '-f', '-'], { input: manifest });

export interface PortForward {
  /** 127.0.0.1:port */
  readonly address: string;
  close(): void;
}

/** To one pod, on a free port. It ends with its pod. */
export async function forwardPort(target: string, port: number, namespace = NAMESPACE): Promise<PortForward> {
  const child = spawn('kubectl', ['--namespace', namespace, 'port-forward', target, `:${port}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const takeAlong = (): void => void child.kill();
  process.once('exit', takeAlong);
  const address = await Promise.race([firstAddress(child), once(child, 'exit').then(() => undefined)]);
  if (address === undefined) throw new Error(`the port-forward to ${target} ended`);
  return {
    address,
    close() {
      process.off('exit', takeAlong);
      child.kill();
    },
  };
}

async function firstAddress(child: ChildProcess): Promise<string | undefined> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const found = /127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (found !== undefined) return found;
  }
  return undefined;
}
