/** Servers that a test starts and that are gone when it is over. */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { ServerProcess, type ServerOptions } from '../../../deploy/local/server-process.ts';

/** The server's script. */
export const MAIN = fileURLToPath(new URL('../../../services/main.ts', import.meta.url));

/** A folder that is removed when the test is over. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'txmesh-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A server on a free port that is killed when the test is over, if it still runs. */
export async function serve(args: readonly string[], options: Partial<Omit<ServerOptions, 'args'>> = {}): Promise<ServerProcess> {
  const logFile = options.logFile ?? join(folder(), 'server.log');
  const server = await ServerProcess.start({ ...options, args: args.includes('--port') ? args : [...args, '--port', '0'], logFile });
  onTestFinished(() => server.kill());
  return server;
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Lines of standard error that are no log lines. */
  readonly said: readonly string[];
}

/** Runs the server until it ends by itself, within the bound; its environment has no settings of ours. */
export async function runToEnd(args: readonly string[], environment: Record<string, string> = {}, boundMs = 30_000): Promise<Ended> {
  const child = spawn(process.execPath, ['--conditions=txmesh-source', MAIN, ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: boundMs,
    killSignal: 'SIGKILL',
  });
  return collect(child);
}

async function collect(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout!.on('data', (chunk) => (stdout += chunk));
  child.stderr!.on('data', (chunk) => (stderr += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  const said = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
  return { code, stdout, stderr, said };
}
