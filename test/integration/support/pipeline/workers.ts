/** The processes that run the pipeline's stages; they can be killed and paused. */

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('worker.ts', import.meta.url));
const CONCURRENCY = 16;

export class Worker {
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  /** @param errors counts what handlers and their transactions failed with, in words. */
  static async start(addresses: readonly string[], errors: Map<string, number>): Promise<Worker> {
    const child = fork(SCRIPT, [String(CONCURRENCY), ...addresses], { execArgv: ['--conditions=txmesh-source'] });
    const takeAlong = (): void => void child.kill('SIGKILL');
    process.once('exit', takeAlong);
    child.once('exit', () => process.off('exit', takeAlong));
    await once(child, 'message');
    child.on('message', ({ error }: { error: string }) => errors.set(error, (errors.get(error) ?? 0) + 1));
    return new Worker(child);
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }

  pause(): void {
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  /** Lets it finish what it has begun; returns its exit code. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exited = once(this.child, 'exit');
    this.resume();
    this.child.kill('SIGTERM');
    const [code] = (await exited) as [number | null];
    return code;
  }
}
