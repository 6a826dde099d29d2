/** Messages between machines: late, lost, copied and out of order; links can be cut. */

import type { Machine } from './machine.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

export interface NetworkFaults {
  /** Typical one-way delay, milliseconds. */
  readonly delayMs: number;
  readonly loss: number;
  readonly duplicate: number;
  /** How often a message, or its copy, takes up to `straggleMs`. */
  readonly straggler: number;
  readonly straggleMs: number;
}

export class Network {
  faults: NetworkFaults;
  private readonly scheduler: Scheduler;
  private readonly random: Random;
  /** Names of machines that can't be reached by the others. */
  private readonly cut = new Set<string>();

  constructor(scheduler: Scheduler, random: Random, faults: NetworkFaults) {
    this.scheduler = scheduler;
    this.random = random;
    this.faults = faults;
  }

  /** Cuts a machine off from the others, both ways. */
  isolate(machine: string): void {
    this.cut.add(machine);
  }

  heal(machine: string): void {
    this.cut.delete(machine);
  }

  /**
   * Perhaps `receive` runs at `to`, perhaps twice.
   * @param single not twice: for what a client sends once only
   */
  send(from: Machine, to: Machine, receive: () => void, single = false): void {
    const { random, faults } = this;
    const copies = random.chance(faults.loss) ? 0 : random.chance(faults.duplicate) && !single ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const late = random.chance(copy === 0 ? faults.straggler : Math.max(faults.straggler, 0.3));
      const delayMs = late ? random.between(0, faults.straggleMs) : random.between(0.2, 2) * faults.delayMs;
      this.scheduler.after(from === to ? 0.01 : delayMs, () => {
        if (from !== to && (this.cut.has(from.name) || this.cut.has(to.name))) return;
        to.deliver('network', receive);
      });
    }
  }
}
