/**
 * Linearizable keys (Herlihy and Wing 1990). A key's writes are totally ordered by their versions, so
 * reads need no search: what was complete before a read began bounds what it returns from below, what
 * had become durable before it ended bounds it from above.
 */

import { keyOf, writerOf, type History } from '../history.ts';

interface Known {
  readonly version: number;
  readonly atMs: number;
  readonly because: string;
}

export function checkReads(history: History): string[] {
  const violations: string[] = [];
  const known = knownVersions(history);
  for (const read of history.reads) {
    const versions = history.versionsOf(read.name);
    const what = `${read.consistency} read of ${read.name} at ${Math.round(read.startMs)} to ${Math.round(read.endMs)} ms`;
    if (read.version > 0 && !history.isHidden(read.name, read.version)) {
      const seen = versions.find((version) => version.version === read.version);
      if (seen === undefined) violations.push(`${what} returned version ${read.version}, which never became durable`);
      else if (seen.atMs > read.endMs) violations.push(`${what} returned version ${read.version} before it was durable`);
      else if (seen.value !== read.value) violations.push(`${what} returned version ${read.version} with another value`);
    }
    if (read.consistency === 'eventual') continue;
    const bound = lastBefore(known.get(read.name) ?? [], read.startMs);
    if (bound !== undefined && bound.version > read.version) {
      violations.push(`${what} returned version ${read.version}, but version ${bound.version} was known before: ${bound.because}`);
    }
  }
  return violations;
}

/** For each key what somebody knew, and from when on, with the versions growing. */
function knownVersions(history: History): Map<string, Known[]> {
  const known = new Map<string, Known[]>();
  const add = (name: string, fact: Known): void => {
    const facts = known.get(name);
    if (facts === undefined) known.set(name, [fact]);
    else facts.push(fact);
  };
  for (const read of history.reads) {
    if (read.consistency === 'eventual') continue;
    add(read.name, { version: read.version, atMs: read.endMs, because: `a read returned it at ${Math.round(read.endMs)} ms` });
  }
  const told = new Map<string, number>();
  for (const { id, outcome, atMs } of history.told) {
    if (outcome === 'committed' && !history.forced.has(id)) told.set(id, Math.min(atMs, told.get(id) ?? Infinity));
  }
  for (const [name, versions] of history.versions) {
    for (const { version, value } of versions) {
      const content = history.contents.get(writerOf(value));
      const atMs = content === undefined ? undefined : told.get(content.id);
      if (content === undefined || atMs === undefined) continue;
      const because = `${keyOf(content.id, content.variant)} was told committed at ${Math.round(atMs)} ms`;
      add(name, { version, atMs, because });
    }
  }
  for (const facts of known.values()) {
    facts.sort((a, b) => a.atMs - b.atMs || a.version - b.version);
    let highest = facts[0]!;
    for (const [index, fact] of facts.entries()) {
      if (fact.version > highest.version) highest = fact;
      else facts[index] = { ...highest, atMs: fact.atMs };
    }
  }
  return known;
}

function lastBefore(facts: readonly Known[], timeMs: number): Known | undefined {
  let low = 0;
  let high = facts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (facts[middle]!.atMs < timeMs) low = middle + 1;
    else high = middle;
  }
  return facts[low - 1];
}
