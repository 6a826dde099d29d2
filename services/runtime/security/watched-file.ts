/**
 * A file that is read again when it changes. It is looked at every few seconds: what a folder tells of its
 * changes gets lost where Kubernetes exchanges whole folders behind links.
 */

import { open } from 'node:fs/promises';
import { readFileSync, statSync } from 'node:fs';
import type { Clock, Timer } from '../clock.ts';

const LOOK_MS = 5_000;
const MOST_BYTES = 1024 * 1024;

export class WatchedFile {
  readonly path: string;
  private readonly clock: Clock;
  private content: Buffer;
  private timer: Timer | undefined;
  private closed = false;

  /** Reads it. @throws Error that names the file. */
  constructor(path: string, clock: Clock) {
    this.path = path;
    this.clock = clock;
    try {
      requireSize(path, statSync(path).size);
      this.content = readFileSync(path);
    } catch (error) {
      throw new Error(`${path} can't be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }

  get text(): string {
    return this.content.toString('utf8');
  }

  /**
   * Tells of every change from now on, until {@link close}.
   * @param failed it can't be read; what was read last stays. Called each time that it is looked at.
   */
  watch(changed: (text: string) => void, failed: (error: Error) => void): void {
    this.timer = this.clock.setTimer(LOOK_MS, () => {
      void this.look(changed, failed).then(() => {
        if (!this.closed) this.watch(changed, failed);
      });
    });
  }

  close(): void {
    this.closed = true;
    this.timer?.cancel();
  }

  private async look(changed: (text: string) => void, failed: (error: Error) => void): Promise<void> {
    try {
      const content = await read(this.path);
      if (this.closed || content.equals(this.content)) return;
      this.content = content;
    } catch (error) {
      if (!this.closed) failed(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    changed(this.text);
  }
}

async function read(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    requireSize(path, (await file.stat()).size);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function requireSize(path: string, bytes: number): void {
  if (bytes > MOST_BYTES) throw new Error(`${path} has ${bytes} bytes, the limit is ${MOST_BYTES}`);
}
