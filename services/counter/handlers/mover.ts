/** Moves the slots of one partition that belong elsewhere since a counter's shards were changed (invariant C6). */

import { LIMITS, type SlotName } from '../../kernel/counter/types.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { fromView, toConsistency, toSlot } from '../codec-partition.ts';
import type { Led, Task } from './background.ts';

export class SlotMover implements Task {
  readonly name = 'moving slots';
  /** There may be slots to move; a new leader looks for them. */
  isDue = true;
  private readonly led: Led;

  constructor(led: Led) {
    this.led = led;
  }

  async run(context: () => CallContext): Promise<void> {
    const { port, term } = this.led;
    this.isDue = false;
    try {
      for (let after = '', more = true; more; ) {
        const answer = await port.read(term, { type: 'moving', after, limit: LIMITS.moving }, false, context());
        if (answer.type !== 'moving') throw new Error(`a partition answered ${answer.type} instead of moving`);
        for (const { partition, ...slot } of answer.slots) {
          await this.move(slot, partition, context);
          after = slot.name;
        }
        more = answer.more && answer.slots.length > 0;
      }
    } catch (error) {
      this.isDue = true;
      throw error;
    }
  }

  private async move({ name, id, slot }: SlotName, to: number, context: () => CallContext): Promise<void> {
    const { port, service, term } = this.led;
    // Whoever is to take it is there, before adds are told to wait.
    const ask = { $case: 'read' as const, value: { names: [name], consistency: toConsistency(false) } };
    const { views } = await port.ask(service.name, to, ask, 'views', context());
    if (fromView(views[0]!)?.id !== id) throw new FailureError(unknown(name, to));
    const { slot: frozen } = await port.request(term, { type: 'freeze', name, id, slot }, 'frozen', context());
    // It has left, or its counter is gone.
    if (frozen === undefined) return;
    const known = await port.ask(service.name, to, { $case: 'install', value: toSlot(frozen) }, 'installed', context());
    if (!known) throw new FailureError(unknown(name, to));
    await port.request(term, { type: 'release', name, id, slot, generation: frozen.generation }, 'released', context());
  }
}

function unknown(name: string, partition: number) {
  const message = `partition ${partition} does not know counter "${name}" yet, or any more`;
  return { reason: 'COUNTER_NOT_FOUND' as const, message, metadata: { counter: name } };
}
