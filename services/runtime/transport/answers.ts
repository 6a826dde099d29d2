/** Back-pressure on a stream: who does not read its answers is not read from (invariant P8). */

import type { Duplex } from './service.ts';

export class Answers<Response> {
  private readonly calls: Pick<Duplex<never, Response>, 'write' | 'drained' | 'pause' | 'resume'>;
  /** Answers wait for the caller to read. */
  private behind = false;

  constructor(calls: Pick<Duplex<never, Response>, 'write' | 'drained' | 'pause' | 'resume'>) {
    this.calls = calls;
  }

  /** Sends, and takes no further request until what was sent has left. */
  send(response: Response): void {
    if (!this.calls.write(response) && !this.behind) void this.waitForReader();
  }

  private async waitForReader(): Promise<void> {
    this.behind = true;
    this.calls.pause();
    await this.calls.drained();
    this.behind = false;
    this.calls.resume();
  }
}
