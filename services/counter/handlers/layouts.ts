/** Where adds of counters go that are not at their home, as far as this process has heard. */

import { homeOf, partitionOfReplica, partitionOfSlot, slotOf } from '../../kernel/counter/placement.ts';
import type { Layout } from '../../kernel/counter/types.ts';
import type { Service } from '../../runtime/cluster/view.ts';

/** Most counters that are remembered; the one heard of longest ago is forgotten first. */
const MOST = 100_000;

export class Layouts {
  private readonly layouts = new Map<string, Layout>();

  /** @param layout undefined: only the counter's home knows. */
  hear({ name: service }: Service, counter: string, layout: Layout | undefined): void {
    const key = keyOf(service, counter);
    this.layouts.delete(key);
    if (layout === undefined) return;
    if (this.layouts.size >= MOST) this.layouts.delete(this.layouts.keys().next().value!);
    this.layouts.set(key, layout);
  }

  get({ name: service }: Service, counter: string): Layout | undefined {
    return this.layouts.size === 0 ? undefined : this.layouts.get(keyOf(service, counter));
  }

  /**
   * The partition of an add. A slot that is not where it belongs is still, or again, where it was
   * before the last change of shards: so every other try goes there.
   */
  partitionOf(service: Service, counter: string, session: string, sequence: number, tries: number): number {
    const { partitions } = service;
    const layout = this.get(service, counter);
    switch (layout?.kind) {
      case 'replicated':
        return partitionOfReplica(session, partitions);
      case 'sharded':
        return partitionOfSlot(counter, slotOf(session, sequence), tries % 2 === 0 ? layout.shards : layout.previousShards, partitions);
      default:
        return homeOf(counter, partitions);
    }
  }
}

function keyOf(service: string, counter: string): string {
  return `${service}/${counter}`;
}
