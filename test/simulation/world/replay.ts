/** Invariant P3: what is durable in memory after a batch is what recovering the store's records gives. */

import { isDeepStrictEqual } from 'node:util';
import type { AnyKernel } from './commands.ts';

const SILENT = { put() {}, remove() {}, removeRange() {}, reply() {}, send() {}, emit() {}, follow() {}, stepDown() {} };

/** @param recovered of the same partition, from the store; it has not begun its term */
export function checkReplay(where: string, live: AnyKernel, recovered: AnyKernel, epoch: number, nowMs: number): string[] {
  recovered.lead(epoch, { nowMs, entropy: 0 }, SILENT);
  const [memory, store] = [textOf(live.durableState()), textOf(recovered.durableState())];
  // Properties may come in another order.
  if (memory === store || isDeepStrictEqual(JSON.parse(memory), JSON.parse(store))) return [];
  return [`${where} after a batch of epoch ${epoch}: memory is not what the store gives (P3): ${difference(memory, store)}`];
}

/** Without the difference between an absent field and an undefined one. */
function textOf(state: unknown): string {
  return JSON.stringify(state, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
}

function difference(a: string, b: string): string {
  let start = 0;
  while (a[start] === b[start]) start++;
  const from = Math.max(0, start - 60);
  return `memory …${a.slice(from, start + 120)}… store …${b.slice(from, start + 120)}…`;
}
