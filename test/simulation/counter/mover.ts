/**
 * What runs in the background of a counter service: slots of sharded counters move to where they
 * belong, step by step, by whoever comes along and may be gone in between; replicas exchange states.
 */

import type { CounterRequest, CounterResponse, MovingSlot, SlotName } from '../../../services/kernel/counter/types.ts';
import { CALL_TIMEOUT_MS, type Actor } from '../work/actor.ts';
import { COUNTER, COUNTERS } from './plan.ts';
import { PARTITIONS } from '../world/cluster.ts';
import { viewIn, viewOf } from './reader.ts';

/** How often somebody stops in the middle of a move. */
const GIVE_UP = 0.1;
const SLOTS_AT_ONCE = 12;

export class Mover {
  private readonly actor: Actor;

  constructor(actor: Actor) {
    this.actor = actor;
  }

  /** Moves some of the slots that are away from where they belong. Returns how many there were. */
  async move(): Promise<number> {
    const { actor } = this;
    let found = 0;
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const answer = await actor.call(COUNTER, partition, (nowMs, origin) => ({
        type: 'read',
        origin,
        query: { type: 'moving', after: '', limit: 16 },
        consistency: 'eventual',
        deadlineMs: nowMs + CALL_TIMEOUT_MS,
      }), CALL_TIMEOUT_MS);
      if (answer.type !== 'read' || !('type' in answer.answer) || answer.answer.type !== 'moving') continue;
      const { slots } = answer.answer;
      found += slots.length;
      await Promise.all(actor.random.sample(slots, SLOTS_AT_ONCE).map((slot) => this.moveSlot(partition, slot.partition, slot)));
    }
    return found;
  }

  private async moveSlot(from: number, to: number, { name, id, slot }: SlotName): Promise<void> {
    const { actor } = this;
    const frozen = await this.ask(from, { type: 'freeze', name, id, slot });
    const moving: MovingSlot | undefined = frozen?.type === 'frozen' ? frozen.slot : undefined;
    if (moving === undefined || actor.random.chance(GIVE_UP)) return;
    const installed = await this.ask(to, { type: 'install', slot: moving });
    if (installed?.type !== 'installed' || !installed.known || actor.random.chance(GIVE_UP)) return;
    const released = await this.ask(from, { type: 'release', name, id, slot, generation: moving.generation });
    if (released !== undefined) actor.count('slots moved');
  }

  /** Tells one partition of a replicated counter's state at another. */
  async exchange(): Promise<void> {
    const { actor } = this;
    const { name } = actor.random.pick(COUNTERS.filter(({ kind }) => kind === 'replicated'));
    const from = actor.random.below(PARTITIONS);
    const view = viewIn(await actor.call(COUNTER, from, viewOf(name, 'eventual', CALL_TIMEOUT_MS), CALL_TIMEOUT_MS));
    if (view === undefined) return;
    const merged = await this.ask(1 - from, { type: 'merge', states: [{ name, components: view.components }], relay: false });
    if (merged !== undefined) actor.count('replicas merged');
  }

  private async ask(partition: number, request: CounterRequest): Promise<CounterResponse | undefined> {
    const answer = await this.actor.call(COUNTER, partition, (_, origin) => ({ type: 'request', origin, request }), CALL_TIMEOUT_MS);
    if (answer.type !== 'response') return undefined;
    const { response } = answer;
    const ofQueue = response.type === 'published' || response.type === 'delivered' || response.type === 'settled' || response.type === 'checked';
    return ofQueue ? undefined : response;
  }
}
