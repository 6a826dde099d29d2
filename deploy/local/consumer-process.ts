/** The tour's consumer as a process. */

import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Taken, TourConsumer } from './tour.ts';

const MAIN = fileURLToPath(new URL('tour-consumer.ts', import.meta.url));
const TAKE_BOUND_MS = 30_000;

export class ConsumerProcess implements TourConsumer {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;
  private readonly exited: Promise<void>;

  constructor(address: string, hang: boolean, logFile: string) {
    const args = ['--conditions=txmesh-source', MAIN, address, ...(hang ? ['--hang'] : [])];
    this.child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stderr!.pipe(createWriteStream(logFile, { flags: 'a' }));
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
    this.exited = new Promise((resolve) => this.child.once('exit', () => resolve()));
    const takeAlong = (): void => void this.child.kill('SIGKILL');
    process.once('exit', takeAlong);
    this.child.once('exit', () => process.off('exit', takeAlong));
  }

  async taken(): Promise<Taken> {
    const late = AbortSignal.timeout(TAKE_BOUND_MS);
    const onLate = (): void => void this.child.kill('SIGKILL');
    late.addEventListener('abort', onLate, { once: true });
    const { done, value } = await this.lines.next();
    late.removeEventListener('abort', onLate);
    if (done === true) throw new Error('the consumer of the tour ended without taking an order');
    return JSON.parse(value) as Taken;
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}
