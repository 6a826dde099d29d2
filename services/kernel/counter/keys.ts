/** Store keys of the counter records, within the partition. */

import { hex14 } from '../participant/keys.ts';

export const COUNTER_PREFIX = 'counter/';
export const EVENT_PREFIX = 'event/';
export const MOVING_PREFIX = 'moving/';
export const REPLICA_PREFIX = 'replica/';

export function counterKey(name: string): string {
  return COUNTER_PREFIX + name;
}

export function eventKey(number: number): string {
  return EVENT_PREFIX + hex14(number);
}

export function movingKey(name: string): string {
  return MOVING_PREFIX + name;
}

export function replicaKey(name: string): string {
  return REPLICA_PREFIX + name;
}
