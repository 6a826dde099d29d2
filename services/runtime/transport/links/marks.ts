/**
 * The low-water marks that this process knows (invariant T7): those of the coordinator partitions led
 * here, which go out to everybody, and those heard from others. Partitions led here that are to
 * forget are told each when it has changed. Marks change with every batch and nobody waits for them,
 * so they are passed on at intervals.
 */

import { compareAttempts, type Attempt } from '../../../kernel/attempt.ts';
import type { Mark } from '../../../kernel/messages.ts';
import type { LinkTerm } from './types.ts';

export class Marks {
  private readonly own = new Map<number, Mark>();
  private readonly known = new Map<number, Mark>();
  private readonly told = new WeakMap<LinkTerm, Map<number, Attempt>>();
  /** Grows when a partition begins to be led here: links then send marks without waiting. */
  generation = 0;

  /** A coordinator partition led here says its mark. */
  say(mark: Mark): void {
    const before = this.own.get(mark.coordinatorPartition);
    if (before !== undefined && compareAttempts(mark.lowWaterMark, before.lowWaterMark) <= 0) return;
    if (before?.lowWaterMark.epoch !== mark.lowWaterMark.epoch) this.generation++;
    this.own.set(mark.coordinatorPartition, mark);
    this.hear(mark);
  }

  /** A mark from anywhere. An older one than is known is late. */
  hear(mark: Mark): void {
    const before = this.known.get(mark.coordinatorPartition);
    if (before !== undefined && compareAttempts(mark.lowWaterMark, before.lowWaterMark) <= 0) return;
    this.known.set(mark.coordinatorPartition, mark);
  }

  of(coordinatorPartition: number): Mark | undefined {
    return this.own.get(coordinatorPartition);
  }

  /** The marks of the partitions that are still led here; the others are dropped. */
  current(isLed: (coordinatorPartition: number) => boolean): Mark[] {
    for (const partition of this.own.keys()) if (!isLed(partition)) this.own.delete(partition);
    return [...this.own.values()];
  }

  /** Tells a participant's term what it has not been told. */
  tell(term: LinkTerm): void {
    let told = this.told.get(term);
    if (told === undefined) this.told.set(term, (told = new Map()));
    for (const [partition, { lowWaterMark }] of this.known) {
      if (told.get(partition) === lowWaterMark) continue;
      told.set(partition, lowWaterMark);
      term.submit({ type: 'mark', coordinatorPartition: partition, lowWaterMark }, 'control');
    }
  }
}
