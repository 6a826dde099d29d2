/**
 * PN-counters (Shapiro, Preguiça, Baquero and Zawirski 2011, specification 7): a component for each
 * place that counts, of two sums that only grow. Merging takes the higher of each (invariant C7).
 */

import type { Component } from './types.ts';

export function compareComponents(a: Component, b: Component): number {
  return a.clusterId < b.clusterId ? -1 : a.clusterId > b.clusterId ? 1 : a.partition - b.partition;
}

/** Both sorted by {@link compareComponents}; the result too. It is `ours` itself if there is no news. */
export function mergeComponents(ours: readonly Component[], theirs: readonly Component[]): readonly Component[] {
  const merged: Component[] = [];
  let news = false;
  let i = 0;
  for (const theirComponent of theirs) {
    while (i < ours.length && compareComponents(ours[i]!, theirComponent) < 0) merged.push(ours[i++]!);
    const our = ours[i];
    if (our === undefined || compareComponents(our, theirComponent) !== 0) {
      merged.push(theirComponent);
      news = true;
      continue;
    }
    i++;
    if (theirComponent.added <= our.added && theirComponent.subtracted <= our.subtracted) {
      merged.push(our);
      continue;
    }
    news = true;
    merged.push({
      ...our,
      added: theirComponent.added > our.added ? theirComponent.added : our.added,
      subtracted: theirComponent.subtracted > our.subtracted ? theirComponent.subtracted : our.subtracted,
    });
  }
  while (i < ours.length) merged.push(ours[i++]!);
  return news ? merged : ours;
}

/** May be beyond 64 bits: then it can't be read. */
export function valueOf(components: readonly Component[]): bigint {
  let value = 0n;
  for (const { added, subtracted } of components) value += added - subtracted;
  return value;
}

/** What a component is after an add of its own place; undefined: it would pass 64 bits. */
export function increased(component: Component, amount: bigint, most: bigint): Component | undefined {
  const added = amount > 0n ? component.added + amount : component.added;
  const subtracted = amount < 0n ? component.subtracted - amount : component.subtracted;
  return added > most || subtracted > most ? undefined : { ...component, added, subtracted };
}
