/** A server process and k6 runs against it. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { ServerProcess } from '../../deploy/local/server-process.ts';
import type { Summary } from '../../load/k6/summary.ts';

const RUNNER = resolve(import.meta.dirname, '../../load/k6/run.ts');

export const NO_K6 = 'k6 is not there and could not be built';

export interface Ended {
  readonly code: number;
  readonly output: string;
}

export interface Outcome extends Ended {
  readonly summary: Summary;
}

/** As `npm run load -- …`. */
export async function load(args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, ['--conditions=txmesh-source', RUNNER, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
  const [code] = (await once(child, 'close')) as [number];
  return { code, output };
}

export class LoadTarget {
  readonly server: ServerProcess;
  private readonly folder: string;

  private constructor(server: ServerProcess, folder: string) {
    this.server = server;
    this.folder = folder;
  }

  /** Undefined where there is no k6. */
  static async start(more: readonly string[] = []): Promise<LoadTarget | undefined> {
    if ((await requireGoTools('k6')) === undefined) return undefined;
    const folder = mkdtempSync(join(tmpdir(), 'txmesh-load-test-'));
    const args = ['--port', '0', '--data-dir', join(folder, 'data'), ...more];
    const server = await ServerProcess.start({ args, logFile: join(folder, 'server.log') });
    return new LoadTarget(server, folder);
  }

  async stop(): Promise<void> {
    await this.server.stop();
    rmSync(this.folder, { recursive: true });
  }

  /** As {@link load} against this server, with limits on speed that a busy machine keeps. */
  async run(args: readonly string[], started: () => Promise<void> = () => Promise.resolve()): Promise<Outcome> {
    const file = join(this.folder, 'summary.json');
    rmSync(file, { force: true });
    const limits = ['--p95', '15000', '--p99', '30000', '--dropped', '0.8'];
    const [ended] = await Promise.all([load([...args, '--address', this.server.address, '--summary', file, ...limits]), started()]);
    return { ...ended, summary: JSON.parse(readFileSync(file, 'utf8')) as Summary };
  }
}
