/** A client at work: what every kind of work uses. */

import type { Client, CallOptions } from '../world/client.ts';
import type { Answer, Build } from '../world/commands.ts';
import type { History } from '../history.ts';
import type { Places } from '../keys/places.ts';
import type { Profile } from '../profiles.ts';
import type { Random } from '../world/random.ts';

/** How long a client of ordinary patience waits for an answer. */
export const COMMIT_TIMEOUT_MS = 1500;
export const CALL_TIMEOUT_MS = 900;
export const READ_TIMEOUT_MS = 700;

export interface ActorOptions {
  readonly client: Client;
  readonly history: History;
  readonly profile: Profile;
  readonly places: Places;
  count(what: string): void;
  say(text: string): void;
}

export class Actor {
  readonly client: Client;
  readonly history: History;
  readonly profile: Profile;
  readonly places: Places;
  private readonly options: ActorOptions;

  constructor(options: ActorOptions) {
    this.options = options;
    this.client = options.client;
    this.history = options.history;
    this.profile = options.profile;
    this.places = options.places;
  }

  get random(): Random {
    return this.client.random;
  }

  /** True time. */
  get nowMs(): number {
    return this.client.trueMs;
  }

  /** What the client's own clock says. */
  get wallMs(): number {
    return this.client.machine.clock.nowMs();
  }

  count(what: string): void {
    this.options.count(what);
  }

  say(text: string): void {
    this.options.say(`${this.client.machine.name}: ${text}`);
  }

  sleep(delayMs: number): Promise<void> {
    return this.client.sleep(delayMs);
  }

  /** @param timeoutMs for a client of ordinary patience */
  call(service: string, partition: number, build: Build, timeoutMs: number, options?: CallOptions): Promise<Answer> {
    return this.client.call(service, partition, build, timeoutMs * this.profile.patience, options);
  }

  /** Until `once` says that it is done, at most so often. */
  async retrying(tries: number, once: () => Promise<boolean>): Promise<boolean> {
    for (let tried = 1; ; tried++) {
      if (await once()) return true;
      if (tried >= tries) return false;
      await this.sleep(this.random.between(0, 300));
    }
  }
}
