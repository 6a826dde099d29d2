/**
 * A map from keys to anything, in the order of the keys' UTF-8 bytes. Keys lie in sorted chunks of
 * bounded length, so that an insertion moves hundreds of references instead of hundreds of thousands.
 */
import { fromOrderedForm, orderedForm } from './keys.ts';
import type { Range } from './store.ts';

const MAX_CHUNK_LENGTH = 512;

export class SortedMap<V> {
  /** Everything in here is in ordered form. No chunk is empty, except the first of an empty map. */
  readonly #values = new Map<string, V>();
  readonly #chunks: string[][] = [[]];

  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    return this.#values.get(orderedForm(key));
  }

  has(key: string): boolean {
    return this.#values.has(orderedForm(key));
  }

  set(key: string, value: V): void {
    const form = orderedForm(key);
    if (!this.#values.has(form)) this.#insert(form);
    this.#values.set(form, value);
  }

  delete(key: string): boolean {
    const form = orderedForm(key);
    if (!this.#values.delete(form)) return false;
    const index = this.#chunkOf(form);
    const chunk = this.#chunks[index]!;
    chunk.splice(firstNotBelow(chunk, form), 1);
    if (chunk.length === 0 && this.#chunks.length > 1) this.#chunks.splice(index, 1);
    return true;
  }

  /** At most `limit` entries, ascending, or descending from the highest. */
  range(range: Range, limit: number, reverse = false): [string, V][] {
    const from = orderedForm(range.from);
    const to = orderedForm(range.to);
    const found: [string, V][] = [];
    const step = reverse ? -1 : 1;
    const start = reverse ? to : from;
    let index = this.#chunkOf(start);
    let chunk = this.#chunks[index];
    let position = chunk === undefined ? 0 : firstNotBelow(chunk, start) - (reverse ? 1 : 0);
    while (chunk !== undefined && found.length < limit) {
      const form = chunk[position];
      if (form === undefined) {
        index += step;
        chunk = this.#chunks[index];
        position = reverse ? (chunk?.length ?? 0) - 1 : 0;
      } else {
        if (reverse ? form < from : form >= to) break;
        found.push([fromOrderedForm(form), this.#values.get(form)!]);
        position += step;
      }
    }
    return found;
  }

  #insert(form: string): void {
    const last = this.#chunks.length - 1;
    const lastChunk = this.#chunks[last]!;
    const highest = lastChunk[lastChunk.length - 1];
    if (highest === undefined || form > highest) {
      // Keys that only grow fill each chunk to the brim.
      if (lastChunk.length < MAX_CHUNK_LENGTH) lastChunk.push(form);
      else this.#chunks.push([form]);
      return;
    }
    const index = this.#chunkOf(form);
    const chunk = this.#chunks[index]!;
    chunk.splice(firstNotBelow(chunk, form), 0, form);
    if (chunk.length > MAX_CHUNK_LENGTH) this.#chunks.splice(index + 1, 0, chunk.splice(chunk.length >>> 1));
  }

  /** The last chunk that begins at or below the form, or the first. */
  #chunkOf(form: string): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#chunks[middle]![0]! <= form) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function firstNotBelow(chunk: readonly string[], form: string): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (chunk[middle]! < form) low = middle + 1;
    else high = middle;
  }
  return low;
}
