/** The pod that works while things break; see work/main.ts. */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parse, stringify } from 'yaml';
import { until } from '../integration/support/until.ts';
import { apply, kubectl, NAMESPACE } from './kubectl.ts';

export interface Report {
  readonly seconds: number;
  /** How much of each kind of work. */
  readonly done: Readonly<Record<string, number>>;
  readonly refused: number;
  readonly unknownAtFirst: number;
  readonly audits: number;
  readonly longestGapMs: Readonly<Record<string, number>>;
  readonly errors: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
}

type Line =
  | { readonly type: 'running' }
  | { readonly type: 'gap'; readonly work: string; readonly endMs: number; readonly lengthMs: number }
  | { readonly type: 'replicas'; readonly addresses: readonly string[] }
  | ({ readonly type: 'report' } & Report);

const BOUND_MS = 180_000;
const TEST = resolve(import.meta.dirname, '..');
const ITS_FILES = readdirSync(join(import.meta.dirname, 'work')).filter((file) => file.endsWith('.ts')).map((file) => `e2e/work/${file}`);
const SCRIPTS = [...ITS_FILES, 'integration/support/bank.ts', 'integration/support/until.ts'];
/** Where plain-reads.ts looks for what the package has for clients without the SDK. */
const SERVICE_CONFIG = { file: '../proto/txmesh/service-config.json', key: 'service-config.json', path: 'e2e/work/service-config.json' };
const keyOf = (script: string): string => script.replaceAll('/', '.');

export class WorkPod {
  private readonly logs: ChildProcess;
  private readonly lines: Line[] = [];
  private readonly changed = new EventTarget();

  private constructor() {
    this.logs = spawn('kubectl', ['--namespace', NAMESPACE, 'logs', '--follow', 'work'], { stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface({ input: this.logs.stdout! }).on('line', (line) => {
      if (line.startsWith('{')) this.lines.push(JSON.parse(line) as Line);
      else console.error(`work: ${line}`);
      this.changed.dispatchEvent(new Event('line'));
    });
  }

  /** Resolves when the work is going on. */
  static async start(image: string): Promise<WorkPod> {
    const files = [...SCRIPTS.map((script) => ({ file: script, key: keyOf(script), path: script })), SERVICE_CONFIG];
    const data = Object.fromEntries(files.map(({ file, key }) => [key, readFileSync(join(TEST, file), 'utf8')]));
    await apply(JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'work', namespace: NAMESPACE }, data }));
    const pod = parse(readFileSync(join(import.meta.dirname, 'work/pod.yaml'), 'utf8'));
    pod.metadata.namespace = NAMESPACE;
    pod.spec.containers[0].image = image;
    pod.spec.volumes[0].configMap.items = files.map(({ key, path }) => ({ key, path }));
    await apply(stringify(pod));
    await kubectl('wait', 'pod/work', '--for=condition=Ready', '--timeout=120s');
    const work = new WorkPod();
    await work.line('running');
    return work;
  }

  /** In words, the times without any of a kind of work that ended since the moment. */
  gapsSince(ms: number): string {
    const longest = new Map<string, number>();
    for (const line of this.lines)
      if (line.type === 'gap' && line.endMs >= ms) longest.set(line.work, Math.max(line.lengthMs, longest.get(line.work) ?? 0));
    if (longest.size === 0) return 'no gap in service above 500 ms';
    return `longest gaps in service: ${[...longest].map(([work, lengthMs]) => `${work} ${lengthMs} ms`).join(', ')}`;
  }

  /** Resolves when the client without the SDK gets its answers from these replicas, and from no other. */
  async readsFrom(addresses: readonly string[]): Promise<void> {
    const wanted = addresses.toSorted().join();
    const now = (): string => this.lines.findLast((line) => line.type === 'replicas')?.addresses.join() ?? '';
    await until(`plain reads are answered by ${wanted}`, BOUND_MS, () => now() === wanted, () => `they are by ${now() || 'nobody'}`);
  }

  async finish(): Promise<Report> {
    await kubectl('exec', 'work', '--', '/usr/local/bin/node', '--eval', "process.kill(1, 'SIGUSR2')");
    return this.line('report');
  }

  private async line<Type extends Line['type']>(type: Type): Promise<Line & { type: Type }> {
    const bound = AbortSignal.timeout(BOUND_MS);
    for (;;) {
      const found = this.lines.find((line): line is Line & { type: Type } => line.type === type);
      if (found !== undefined) return found;
      if (this.logs.exitCode !== null) throw new Error(`the pod that works ended before its "${type}"`);
      if (bound.aborted) throw new Error(`the pod that works has not said "${type}" within ${BOUND_MS} ms`);
      await Promise.race([once(this.changed, 'line', { signal: bound }), once(this.logs, 'exit', { signal: bound })]).catch((error: unknown) => {
        if (!bound.aborted) throw error;
      });
    }
  }
}
