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
  readonly boundMs?: number;
}

/** What the program prints. @throws with what it said where it does not end with 0 in time. */
export async function run(program: string, args: readonly string[], { input, env, boundMs = BOUND_MS }: RunOptions = {}): Promise<string> {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'], signal: AbortSignal.timeout(boundMs) });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`);
  return stdout;
}

export const kubectl = (...args: string[]): Promise<string> => run('kubectl', ['--namespace', NAMESPACE, ...args]);

export const apply = (manifest: string): Promise<string> => run('kubectl', ['apply', '-f', '-'], { input: manifest });

export interface PortForward {
  /** 127.0.0.1:port */
  readonly address: string;
  close(): void;
}

/** To one pod, on a free port. It ends with its pod. */
export async function forwardPort(target: string, port: number): Promise<PortForward> {
  const child = spawn('kubectl', ['--namespace', NAMESPACE, 'port-forward', target, `:${port}`], { stdio: ['ignore', 'pipe', 'inherit'] });
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
