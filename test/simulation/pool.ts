/** Many seeds on several cores. */

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Switches } from './bugs.ts';
import { profileOf } from './profiles.ts';
import type { Shape } from './world/cluster.ts';
import type { Result } from './world/world.ts';

export interface Summary {
  readonly seeds: number;
  readonly events: number;
  /** How often things happened, over all seeds: a run in which nothing happened proves nothing. */
  readonly counts: Readonly<Record<string, number>>;
  /** Results with violations, in the order of their seeds. */
  readonly failed: readonly Result[];
}

export interface Seeds {
  readonly start: number;
  readonly count: number;
  /** Only seeds that have this profile. */
  readonly profile?: string;
  /** Only seeds whose profile has these participants. */
  readonly shape?: Shape;
  readonly switches?: Switches;
  /** Ends with the first violation. */
  readonly stopAtFirst?: boolean;
  /** How many processors to use; all, if absent. */
  readonly workers?: number;
  onResult?(result: Result): void;
}

export async function runSeeds({ count, switches = {}, stopAtFirst = false, workers, onResult, ...which }: Seeds): Promise<Summary> {
  const counts: Record<string, number> = {};
  const failed: Result[] = [];
  const left = seedsOf(which, count);
  let [seeds, events] = [0, 0];
  const take = (result: Result): void => {
    seeds++;
    events += result.events;
    for (const [what, times] of Object.entries(result.counts)) counts[what] = (counts[what] ?? 0) + times;
    if (result.violations.length > 0) failed.push(result);
    onResult?.(result);
  };
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('worker.ts', import.meta.url));
    try {
      for (;;) {
        const next = stopAtFirst && failed.length > 0 ? undefined : left.next();
        if (next === undefined || next.done === true) return;
        take(await runOn(worker, next.value, switches));
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, workers ?? availableParallelism()) }, work));
  failed.sort((a, b) => a.seed - b.seed);
  return { seeds, events, counts, failed };
}

function* seedsOf({ start, profile, shape }: Pick<Seeds, 'start' | 'profile' | 'shape'>, count: number): Generator<number, undefined> {
  for (let [seed, given] = [start, 0]; given < count; seed++) {
    const found = profileOf(seed);
    if (found.name !== (profile ?? found.name) || found.shape !== (shape ?? found.shape)) continue;
    yield seed;
    given++;
  }
}

function runOn(worker: Worker, seed: number, switches: Switches): Promise<Result> {
  return new Promise((resolve, reject) => {
    worker.removeAllListeners();
    worker.on('message', resolve);
    worker.on('error', reject);
    worker.postMessage({ seed, switches });
  });
}
