/** A store whose writes of partitions' records fail on purpose. Elections, leases and reads go through. */

import { delay, type Clock } from '../clock.ts';
import { AmbiguousWrite, StoreFull, StoreUnavailable } from '../store/errors.ts';
import type { Store, WriteBatch, WriteResult } from '../store/store.ts';
import type { FaultBoard } from './fault-board.ts';

export interface StoreFaults {
  readonly board: FaultBoard;
  readonly clock: Clock;
  /** A number in [0, 1). */
  entropy(): number;
}

/** As services/runtime/cluster/keys.ts makes them. */
const RECORD = /^data\/([^/]+)\/([0-9a-f]{4})\//;

/** The same store but for its writes. */
export function faultyStore(store: Store, faults: StoreFaults): Store {
  /** Faults that a partition's batch has met and not yet got over, by the partition's prefix. */
  const met = new Map<string, string>();
  const write = async (batch: WriteBatch): Promise<WriteResult> => {
    const [prefix, participant = '', digits = ''] = RECORD.exec(firstKey(batch)) ?? [];
    if (prefix === undefined) return store.write(batch);
    const fault = faults.board.strikeWrite(participant, Number.parseInt(digits, 16));
    if (fault === undefined && !met.has(prefix)) return store.write(batch);
    if (fault !== undefined) met.set(prefix, fault.name);
    const name = met.get(prefix)!;
    if (fault?.latency !== undefined) {
      const { minimumMs, maximumMs } = fault.latency;
      await delay(faults.clock, minimumMs + faults.entropy() * (maximumMs - minimumMs));
    }
    const said = `the fault "${name}" was injected`;
    if (fault?.effect.type === 'unavailable') throw new StoreUnavailable(said);
    if (fault?.effect.type === 'full') throw new StoreFull(said);
    met.delete(prefix);
    if (fault?.effect.type === 'ambiguous') {
      if (fault.effect.written) await store.write(batch);
      throw new AmbiguousWrite(said);
    }
    const result = await store.write(batch);
    return result.type === 'written' ? { ...result, fault: name } : result;
  };
  const bound = (value: unknown): unknown => (typeof value === 'function' ? (value.bind(store) as unknown) : value);
  return new Proxy(store, { get: (target, property) => (property === 'write' ? write : bound(Reflect.get(target, property, target))) });
}

function firstKey({ puts = [], deletes = [], deleteRanges = [] }: WriteBatch): string {
  return puts[0]?.key ?? deletes[0] ?? deleteRanges[0]?.from ?? '';
}
