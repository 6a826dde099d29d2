/** Runs a txmesh server as a process of its own and waits until it serves. Used by the tour, the cluster and the tests. */

import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../services/main.ts', import.meta.url));
const START_BOUND_MS = 60_000;
/**
 * How Node is to run a server. The young generation is large enough that what belongs to transactions
 * under way is not copied again and again. MiB; it takes up to three times as much memory.
 */
export const SERVER_FLAGS = ['--max-semi-space-size=64'] as const;

export interface ServerOptions {
  /** As services/main.ts takes them. */
  readonly args: readonly string[];
  /** Where its log goes. */
  readonly logFile: string;
  /** Added to this process's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The script to run; default: the server. */
  readonly main?: string;
}

/** A server that did not come up; the message is what it said. */
export class ServerFailed extends Error {}

export class ServerProcess {
  readonly pid: number;
  /** host:port where it serves. */
  readonly address: string;
  readonly logFile: string;
  private readonly child: ChildProcess;
  /** Resolves with the exit code, or the signal's name. */
  readonly exited: Promise<number | NodeJS.Signals>;

  private constructor(child: ChildProcess, address: string, logFile: string, exited: Promise<number | NodeJS.Signals>) {
    this.child = child;
    this.pid = child.pid!;
    this.address = address;
    this.logFile = logFile;
    this.exited = exited;
  }

  /** @throws ServerFailed with the server's own words if it exits before it serves. */
  static async start({ args, logFile, environment = {}, main = MAIN }: ServerOptions): Promise<ServerProcess> {
    mkdirSync(dirname(logFile), { recursive: true });
    const log = createWriteStream(logFile, { flags: 'a' });
    const child = spawn(process.execPath, ['--conditions=txmesh-source', ...SERVER_FLAGS, main, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...environment },
    });
    // A server outlives a parent that crashes, unless it is taken along.
    const takeAlong = (): void => void child.kill('SIGKILL');
    process.once('exit', takeAlong);
    child.once('exit', () => process.off('exit', takeAlong));
    const exited = new Promise<number | NodeJS.Signals>((resolve) =>
      child.on('exit', (code, signal) => resolve(code ?? signal ?? 1)),
    );
    let last = '';
    const lines = createInterface({ input: child.stderr });
    const serving = new Promise<string>((resolve) => {
      lines.on('line', (line) => {
        log.write(`${line}\n`);
        if (!line.startsWith('{')) last = line;
        else if (line.includes('"message":"serving"')) resolve((JSON.parse(line) as { address: string }).address);
        else if (line.includes('"level":"error"')) last = line;
      });
    });
    const bound = AbortSignal.timeout(START_BOUND_MS);
    const address = await Promise.race([
      serving,
      exited.then((code) => {
        throw new ServerFailed(last === '' ? `the server ended with ${code}; its log is ${logFile}` : last);
      }),
      new Promise<never>((_, reject) =>
        bound.addEventListener('abort', () => reject(new ServerFailed(`the server did not serve within ${START_BOUND_MS} ms; its log is ${logFile}`))),
      ),
    ]).catch((error: unknown) => {
      child.kill('SIGKILL');
      throw error;
    });
    return new ServerProcess(child, address, logFile, exited);
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Asks it to drain and end. Resolves with its exit code. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.child.kill('SIGTERM');
    return this.exited;
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  /** Stops its execution; it doesn't notice. */
  pause(): void {
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }
}
