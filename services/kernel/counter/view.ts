/** What a partition says of a counter to whoever reads it. */

import type { CounterEntry } from './entry.ts';
import type { EventLog } from './events.ts';
import type { CounterView } from './types.ts';

export function viewOf(entry: CounterEntry, events: EventLog, nowMs: number): CounterView {
  const { name, id, kind, createMs, bounds, value, shards, previousShards, components } = entry;
  const pending = kind === 'queued' ? events.pendingOf(name, id) : undefined;
  return {
    name,
    id,
    kind,
    createMs,
    bounds,
    value,
    shards,
    previousShards,
    components,
    slots: entry.slots.filter((slot) => slot !== undefined),
    pendingAdds: pending?.adds ?? 0,
    // All of the log, which is an upper bound: it is rolled up from the oldest on.
    pendingSinceMs: pending === undefined ? 0 : (events.oldestMs ?? nowMs),
  };
}
