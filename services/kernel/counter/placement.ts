/**
 * Where things are. A counter's home is the partition of its name. A sharded counter has a fixed
 * number of slots; a token's slot never changes, only the shard that a slot belongs to does.
 */

import { fnv1a32, partitionOf } from '../hash.ts';
import type { CounterKind } from './types.ts';

/** Slots that direct adds go to. */
export const SLOTS = 64;
/** At the home partition, for adds of transactions: never moves. */
export const HOME_SLOT = SLOTS;

export function homeOf(name: string, partitions: number): number {
  return partitionOf(name, partitions);
}

/** Consecutive tokens of a session are spread evenly. */
export function slotOf(session: string, sequence: number): number {
  return slotOfHash(hashOfSession(session), sequence);
}

export function hashOfSession(session: string): number {
  return fnv1a32(session);
}

/** As {@link slotOf}, for many tokens of one session. */
export function slotOfHash(sessionHash: number, sequence: number): number {
  return (sessionHash + sequence) % SLOTS;
}

/** The partition that a slot belongs to. */
export function partitionOfSlot(name: string, slot: number, shards: number, partitions: number): number {
  return (fnv1a32(name) + (slot === HOME_SLOT ? 0 : slot % shards)) % partitions;
}

/** A retry must find what was executed: a session's adds to a replicated counter all go to one partition. */
export function partitionOfReplica(session: string, partitions: number): number {
  return partitionOf(session, partitions);
}

/** Whether the counter has a part at every partition. */
export function isEverywhere(kind: CounterKind): boolean {
  return kind === 'sharded' || kind === 'replicated';
}
