/**
 * Strict serializability of the committed transactions: their direct serialization graph (Adya 1999,
 * section 3.1), with the order of real time added, has no cycle. Versions say who wrote what a
 * transaction validated, and who overwrote it.
 */

import { keyOf, nameOf, writerOf, type Content, type History } from '../history.ts';

interface Node {
  readonly content: Content;
  /** When a client first heard of the commit. */
  readonly toldMs: number;
  readonly edges: { readonly to: Node; readonly why: string }[];
  state: 'new' | 'open' | 'done';
}

export function checkSerializable(history: History): string[] {
  const nodes = committedNodes(history);
  for (const [name, versions] of history.versions) {
    const ordered = [...versions].sort((a, b) => a.version - b.version);
    const writers = ordered.map(({ version, value }) => ({ version, node: nodes.get(writerOf(value)) }));
    for (const [index, { node }] of writers.entries()) {
      const next = writers[index + 1]?.node;
      if (node !== undefined && next !== undefined) link(node, next, `wrote ${name} before`);
    }
    for (const reader of nodes.values()) {
      for (const read of reader.content.reads) {
        if (nameOf(read.place) !== name) continue;
        const from = writers.find((writer) => writer.version === read.version)?.node;
        const next = writers.find((writer) => writer.version > read.version && writer.node !== reader)?.node;
        if (from !== undefined) link(from, reader, `wrote what was read of ${name} by`);
        if (next !== undefined) link(reader, next, `read ${name} before it was overwritten by`);
      }
    }
  }
  linkRealTime([...nodes.values()]);
  for (const node of nodes.values()) {
    const cycle = findCycle(node, []);
    if (cycle !== undefined) return [`not serializable: ${cycle}`];
  }
  return [];
}

/** Transactions that took place: they are applied, or only read and were told committed. */
function committedNodes(history: History): Map<string, Node> {
  const told = new Map<string, number>();
  const note = (key: string, atMs: number): void => void told.set(key, Math.min(atMs, told.get(key) ?? Infinity));
  for (const { id, variant, outcome, atMs } of history.told) {
    if (outcome !== 'committed') continue;
    // Who asks by id alone hears of an id's outcome, not of which content it was.
    note(variant === undefined ? id : keyOf(id, variant), atMs);
  }
  const applied = new Set<string>();
  for (const versions of history.versions.values()) for (const { value } of versions) applied.add(writerOf(value));
  const nodes = new Map<string, Node>();
  for (const [key, content] of history.contents) {
    if (history.forced.has(content.id)) continue;
    const isApplied = applied.has(key);
    const toldMs = Math.min(told.get(key) ?? Infinity, isApplied ? (told.get(content.id) ?? Infinity) : Infinity);
    if (!isApplied && (content.writes.length > 0 || toldMs === Infinity)) continue;
    nodes.set(key, { content, toldMs, edges: [], state: 'new' });
  }
  return nodes;
}

function link(from: Node, to: Node, why: string): void {
  if (from !== to) from.edges.push({ to, why });
}

/** Whoever was told before another began comes before it. Links to the latest few carry to all. */
function linkRealTime(nodes: readonly Node[]): void {
  const byTold = nodes.filter((node) => node.toldMs < Infinity).sort((a, b) => a.toldMs - b.toldMs);
  for (const node of nodes) {
    let latestStartMs = -Infinity;
    for (let index = countBefore(byTold, node.content.startMs) - 1; index >= 0; index--) {
      const before = byTold[index]!;
      // Whoever was told before the start of one that is linked is reached through it.
      if (before.toldMs < latestStartMs) break;
      latestStartMs = Math.max(latestStartMs, before.content.startMs);
      link(before, node, 'was told committed before the start of');
    }
  }
}

function countBefore(byTold: readonly Node[], timeMs: number): number {
  let low = 0;
  let high = byTold.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (byTold[middle]!.toldMs < timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

function findCycle(node: Node, path: { node: Node; why: string }[]): string | undefined {
  if (node.state === 'done') return undefined;
  if (node.state === 'open') {
    const start = path.findIndex((step) => step.node === node);
    const loop = path.slice(start).map((step) => `${describe(step.node)} ${step.why}`);
    return `${loop.join(' ')} ${describe(node)}`;
  }
  node.state = 'open';
  for (const { to, why } of node.edges) {
    const cycle = findCycle(to, [...path, { node, why }]);
    if (cycle !== undefined) return cycle;
  }
  node.state = 'done';
  return undefined;
}

function describe({ content }: Node): string {
  return keyOf(content.id.slice(-6), content.variant);
}
