/** Runs the seeds that the pool hands out, one after the other. */

import { parentPort } from 'node:worker_threads';
import type { Switches } from './bugs.ts';
import { run } from './world/world.ts';

export interface Task {
  readonly seed: number;
  readonly switches: Switches;
}

parentPort!.on('message', ({ seed, switches }: Task) => {
  void run({ seed, switches }).then((result) => parentPort!.postMessage(result));
});
