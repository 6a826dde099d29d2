/** The pod that moves money while things break; see bank-in-a-pod.ts. */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { apply, kubectl, NAMESPACE } from './kubectl.ts';

export interface Report {
  readonly seconds: number;
  readonly transfers: number;
  readonly refused: number;
  readonly unknownAtFirst: number;
  readonly audits: number;
  readonly longestGapMs: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
}

type Line =
  | { readonly type: 'running' }
  | { readonly type: 'gap'; readonly endMs: number; readonly lengthMs: number }
  | ({ readonly type: 'report' } & Report);

const BOUND_MS = 120_000;

export class BankPod {
  private readonly logs: ChildProcess;
  private readonly lines: Line[] = [];
  private readonly changed = new EventTarget();

  private constructor() {
    this.logs = spawn('kubectl', ['--namespace', NAMESPACE, 'logs', '--follow', 'bank'], { stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface({ input: this.logs.stdout! }).on('line', (line) => {
      if (line.startsWith('{')) this.lines.push(JSON.parse(line) as Line);
      else console.error(`bank: ${line}`);
      this.changed.dispatchEvent(new Event('line'));
    });
  }

  /** Resolves when money is being moved. */
  static async start(image: string): Promise<BankPod> {
    const data = {
      'bank-in-a-pod.ts': readFileSync(join(import.meta.dirname, 'bank-in-a-pod.ts'), 'utf8'),
      'bank.ts': readFileSync(join(import.meta.dirname, '../integration/support/bank.ts'), 'utf8'),
    };
    await apply(JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'bank', namespace: NAMESPACE }, data }));
    const pod = readFileSync(join(import.meta.dirname, 'bank.yaml'), 'utf8').replace('image: txmesh', `image: ${image}`);
    await apply(pod.replace('metadata:', `metadata:\n  namespace: ${NAMESPACE}`));
    await kubectl('wait', 'pod/bank', '--for=condition=Ready', '--timeout=120s');
    const bank = new BankPod();
    await bank.line('running');
    return bank;
  }

  /** In words, the times without a transfer that ended since the moment. */
  gapsSince(ms: number): string {
    const gaps = this.lines.flatMap((line) => (line.type === 'gap' && line.endMs >= ms ? [`${line.lengthMs} ms`] : []));
    return gaps.length === 0 ? 'no gap in service above 500 ms' : `gaps in service of ${gaps.join(', ')}`;
  }

  async finish(): Promise<Report> {
    await kubectl('exec', 'bank', '--', '/usr/local/bin/node', '--eval', "process.kill(1, 'SIGUSR2')");
    return this.line('report');
  }

  private async line<Type extends Line['type']>(type: Type): Promise<Line & { type: Type }> {
    const bound = AbortSignal.timeout(BOUND_MS);
    for (;;) {
      const found = this.lines.find((line): line is Line & { type: Type } => line.type === type);
      if (found !== undefined) return found;
      if (this.logs.exitCode !== null) throw new Error(`the bank's pod ended before its "${type}"`);
      await Promise.race([
        once(this.changed, 'line', { signal: bound }),
        once(this.logs, 'exit', { signal: bound }),
      ]);
    }
  }
}
