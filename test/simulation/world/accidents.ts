/** What happens to replicas while clients work, each kind at its own mean interval. */

import type { Accidents, Profile } from '../profiles.ts';
import { untilNext } from '../profiles.ts';
import type { Machine } from './machine.ts';
import type { Network } from './network.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/** What accidents happen to. */
export interface Victims {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly network: Network;
  readonly profile: Profile;
  /** Names of machines that can't reach the store. */
  readonly storeCut: Set<string>;
  /** Addresses of the replicas that run. */
  running(): readonly string[];
  /** Of one that runs. */
  machine(address: string): Machine;
  stop(address: string): void;
  /** Starts it unless it runs. */
  revive(address: string): void;
  /** Lets it go in good order. */
  drain(address: string): void;
  jumped(machine: Machine): void;
  count(what: string): void;
  say(text: string): void;
}

type Kind = keyof Accidents;

/** Replicas at the start; now and then there is one more. */
export const REPLICAS = 3;

export class AccidentPlan {
  private readonly victims: Victims;
  private over = false;

  constructor(victims: Victims, fromMs: number) {
    this.victims = victims;
    for (const kind of Object.keys(victims.profile.accidents) as Kind[]) this.plan(kind, fromMs);
  }

  end(): void {
    this.over = true;
  }

  private plan(kind: Kind, fromMs: number): void {
    const { scheduler, random, profile } = this.victims;
    scheduler.at(fromMs + untilNext(random, profile.accidents[kind]!), () => {
      if (this.over) return;
      this.happen(kind);
      this.plan(kind, scheduler.nowMs);
    });
  }

  private happen(kind: Kind): void {
    const { victims } = this;
    const { random, profile } = victims;
    const running = victims.running();
    if (running.length === 0) return;
    const address = random.pick(running);
    const machine = victims.machine(address);
    const lastsMs = random.between(0.1, 1) * profile.pauseMs;
    // Mostly one at a time, so that another replica takes over.
    if (kind === 'pause' && running.some((other) => victims.machine(other).paused) && random.chance(0.8)) return;
    victims.count(kind);
    switch (kind) {
      case 'crash':
        victims.say(`${machine.name}: crashes`);
        victims.stop(address);
        victims.scheduler.after(random.between(0, 1500), () => victims.revive(address));
        break;
      case 'pause':
        victims.say(`${machine.name}: pauses for ${Math.round(lastsMs)} ms`);
        machine.pause(lastsMs, random);
        break;
      case 'isolate':
        victims.say(`${machine.name}: is cut off from the others for ${Math.round(lastsMs)} ms`);
        victims.network.isolate(machine.name);
        victims.scheduler.after(lastsMs, () => victims.network.heal(machine.name));
        break;
      case 'storeCut':
        victims.say(`${machine.name}: is cut off from the store for ${Math.round(lastsMs)} ms`);
        victims.storeCut.add(machine.name);
        victims.scheduler.after(lastsMs, () => victims.storeCut.delete(machine.name));
        break;
      case 'jump':
        this.jump(machine);
        break;
      case 'membership':
        if (running.length > 2 && random.chance(0.6)) victims.drain(address);
        else victims.revive(`r${1 + random.below(REPLICAS + 1)}`);
        break;
    }
  }

  /** Mostly ahead; a little back. */
  private jump(machine: Machine): void {
    const { random, profile } = this.victims;
    const byMs = random.chance(0.7) ? random.between(0, profile.jumpMs) : -random.between(0, Math.min(profile.jumpMs, 3000));
    this.victims.say(`${machine.name}: its wall clock jumps by ${Math.round(byMs)} ms`);
    machine.jump(byMs);
    this.victims.jumped(machine);
  }
}
