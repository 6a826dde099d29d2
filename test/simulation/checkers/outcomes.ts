/** One outcome per id, kept everywhere: atomicity and durability (invariants T1, T2, T4, T6, T7, T9). */

import { keyOf, nameOf, writerOf, type Content, type History } from '../history.ts';
import type { PublishedMessage } from '../queue/history.ts';

/** How often each part of each content became durable: writes by key, messages by topic and payload. */
function countApplied(history: History): Map<string, Map<string, number>> {
  const applied = new Map<string, Map<string, number>>();
  const count = (writer: string, part: string): void => {
    const counts = applied.get(writer) ?? new Map<string, number>();
    counts.set(part, (counts.get(part) ?? 0) + 1);
    applied.set(writer, counts);
  };
  for (const [name, versions] of history.versions) for (const { value } of versions) count(writerOf(value), name);
  for (const { topic, payload } of history.queue.stored) {
    const published = history.queue.published.get(payload);
    if (published?.writer !== undefined && published.topic === topic) count(published.writer, partOf(published));
  }
  return applied;
}

const partOf = ({ topic, payload }: PublishedMessage): string => `${topic} ${payload}`;

/** What the store must show of a content that is applied. */
function partsOf({ writes, publishes }: Content): string[] {
  return [...writes.map(({ place }) => nameOf(place)), ...publishes.map(partOf)];
}

/** What can be said while faults still happen: no id has two outcomes, nothing is applied twice. */
export function checkOneOutcome(history: History): string[] {
  const violations: string[] = [];
  const first = new Map<string, string>();
  for (const { id, outcome } of history.told) {
    if (history.forced.has(id)) continue;
    const before = first.get(id) ?? outcome;
    first.set(id, before);
    if (before !== outcome) violations.push(`${id}: a client was told ${before}, later one was told ${outcome}`);
  }
  for (const [writer, counts] of countApplied(history)) {
    for (const [name, count] of counts) {
      if (count > 1) violations.push(`${writer}: applied ${count} times to ${name}`);
    }
  }
  return violations;
}

/** When everything has come to rest: all or nothing, and as clients were told. */
export function checkAtomicity(history: History): string[] {
  const violations: string[] = [];
  const applied = countApplied(history);
  const committed = new Map<string, Content>();
  for (const content of history.contents.values()) {
    const parts = partsOf(content);
    if (history.forced.has(content.id) || parts.length === 0) continue;
    const counts = applied.get(keyOf(content.id, content.variant));
    const missing = parts.filter((part) => !counts?.has(part));
    if (missing.length < parts.length && missing.some((part) => !history.hides(part))) {
      violations.push(`${keyOf(content.id, content.variant)}: applied in part, but not to ${missing.join(', ')}`);
    }
    if (missing.length < parts.length) {
      const other = committed.get(content.id);
      if (other !== undefined) violations.push(`${content.id}: two contents of one id were applied`);
      committed.set(content.id, content);
    }
  }
  for (const { id, variant, outcome } of history.told) {
    if (history.forced.has(id)) continue;
    const found = committed.get(id);
    if (outcome === 'aborted' && found !== undefined) violations.push(`${id}: a client was told aborted, and it is applied`);
    if (outcome !== 'committed') continue;
    const expected = variant === undefined ? contentsOf(history, id) : [history.contents.get(keyOf(id, variant))!];
    if (expected.some((content) => partsOf(content).length === 0)) continue;
    // Wherever a write of it may be hidden, nothing can be said.
    if (found === undefined && expected.every((content) => partsOf(content).every((part) => history.hides(part)))) continue;
    if (found === undefined || !expected.includes(found)) violations.push(`${id}: a client was told committed, and it is not applied`);
  }
  for (const writer of applied.keys()) {
    if (!history.contents.has(writer)) violations.push(`${writer}: applied, and no client ever asked for it`);
  }
  return violations;
}

function contentsOf(history: History, id: string): Content[] {
  return [...history.contents.values()].filter((content) => content.id === id);
}
