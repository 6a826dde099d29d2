/**
 * Sets and queues of positions, packed: a backlog of millions is numbers in arrays, never an object
 * for each message.
 */

/** Positions of one block of a {@link PositionSet}: 512 bytes of bits. */
export const BLOCK_POSITIONS = 4096;
const BLOCK_BYTES = BLOCK_POSITIONS / 8;

interface Block {
  readonly bits: Uint8Array;
  count: number;
}

/** Everything up to a floor, and some above it. */
export class PositionSet {
  private through: number;
  private readonly blocks = new Map<number, Block>();
  private aboveCount = 0;

  constructor(floor = 0) {
    this.through = floor;
  }

  /** Everything up to here is in the set; what comes next is not. */
  get floor(): number {
    return this.through;
  }

  /** How many there are above the floor. */
  get above(): number {
    return this.aboveCount;
  }

  has(position: number): boolean {
    if (position <= this.through) return true;
    if (this.aboveCount === 0) return false;
    const block = this.blocks.get(blockOf(position));
    return block !== undefined && (block.bits[(position & (BLOCK_POSITIONS - 1)) >> 3]! & (1 << (position & 7))) !== 0;
  }

  /** The first position from this one on that is not in the set. What is full is stepped over. */
  nextMissing(from: number): number {
    let position = Math.max(from, this.through + 1);
    if (this.aboveCount === 0) return position;
    for (;;) {
      const block = this.blocks.get(blockOf(position));
      if (block === undefined) return position;
      if (block.count === BLOCK_POSITIONS) position = (blockOf(position) + 1) * BLOCK_POSITIONS;
      else if (this.has(position)) position++;
      else return position;
    }
  }

  /** False: it was in the set before. */
  add(position: number): boolean {
    if (position <= this.through) return false;
    if (position === this.through + 1) {
      this.through = position;
      if (this.aboveCount > 0) this.advance();
      return true;
    }
    if (!this.set(position)) return false;
    this.aboveCount++;
    return true;
  }

  addRange(first: number, last: number): void {
    if (first <= this.through + 1) return this.raise(last);
    for (let position = first; position <= last; position++) this.add(position);
  }

  /** Takes in everything up to a position. */
  raise(floor: number): void {
    if (floor <= this.through) return;
    if (this.aboveCount > 0) {
      const last = blockOf(floor);
      for (const [number, block] of this.blocks) {
        if (number < last) {
          this.aboveCount -= block.count;
          this.blocks.delete(number);
        } else if (number === last) {
          for (let position = number * BLOCK_POSITIONS; position <= floor; position++) this.clear(block, position);
        }
      }
    }
    this.through = floor;
    this.advance();
  }

  /** Takes one out that is above the floor. */
  remove(position: number): void {
    const block = this.blocks.get(blockOf(position));
    if (block !== undefined) this.clear(block, position);
  }

  /** Whether a range holds none. */
  lacks(first: number, last: number): boolean {
    if (first <= this.through) return false;
    if (this.aboveCount === 0) return true;
    for (let number = blockOf(first); number <= blockOf(last); number++) {
      if (!this.blocks.has(number)) continue;
      const from = Math.max(first, number * BLOCK_POSITIONS);
      const to = Math.min(last, (number + 1) * BLOCK_POSITIONS - 1);
      for (let position = from; position <= to; position++) if (this.has(position)) return false;
    }
    return true;
  }

  /** First and last positions, in turn, of the ranges above the floor; at most so many ranges. */
  ranges(limit = Infinity): number[] {
    const found: number[] = [];
    for (const number of [...this.blocks.keys()].sort((a, b) => a - b)) {
      const { bits, count } = this.blocks.get(number)!;
      if (count === 0) continue;
      const base = number * BLOCK_POSITIONS;
      for (let i = 0; i < BLOCK_POSITIONS; i++) {
        if ((bits[i >> 3]! & (1 << (i & 7))) === 0) continue;
        const position = base + i;
        if (found.length > 0 && found[found.length - 1] === position - 1) found[found.length - 1] = position;
        else if (found.length === 2 * limit) return found;
        else found.push(position, position);
      }
    }
    return found;
  }

  /** A copy of a block's bits; undefined: none is set above the floor. */
  bitsOf(block: number): Uint8Array | undefined {
    const found = this.blocks.get(block);
    return found === undefined || found.count === 0 ? undefined : found.bits.slice();
  }

  /** Takes in a block's bits. */
  addBits(block: number, bits: Uint8Array): void {
    const base = block * BLOCK_POSITIONS;
    for (let i = 0; i < BLOCK_POSITIONS; i++) {
      if (((bits[i >> 3] ?? 0) & (1 << (i & 7))) !== 0) this.add(base + i);
    }
  }

  private advance(): void {
    for (;;) {
      const next = this.through + 1;
      const number = blockOf(next);
      const block = this.blocks.get(number);
      if (block === undefined) return;
      let position = next;
      const end = (number + 1) * BLOCK_POSITIONS;
      while (position < end && (block.bits[(position & (BLOCK_POSITIONS - 1)) >> 3]! & (1 << (position & 7))) !== 0) {
        this.clear(block, position);
        position++;
      }
      this.through = position - 1;
      if (block.count === 0) this.blocks.delete(number);
      if (position < end) return;
    }
  }

  private set(position: number): boolean {
    const number = blockOf(position);
    let block = this.blocks.get(number);
    if (block === undefined) this.blocks.set(number, (block = { bits: new Uint8Array(BLOCK_BYTES), count: 0 }));
    const byte = (position & (BLOCK_POSITIONS - 1)) >> 3;
    const bit = 1 << (position & 7);
    if ((block.bits[byte]! & bit) !== 0) return false;
    block.bits[byte]! |= bit;
    block.count++;
    return true;
  }

  private clear(block: Block, position: number): void {
    const byte = (position & (BLOCK_POSITIONS - 1)) >> 3;
    const bit = 1 << (position & 7);
    if ((block.bits[byte]! & bit) === 0) return;
    block.bits[byte]! &= ~bit;
    block.count--;
    this.aboveCount--;
  }
}

export function blockOf(position: number): number {
  return Math.floor(position / BLOCK_POSITIONS);
}

/** Sorted positions as first and last positions of ranges, in turn. */
export function toRanges(positions: number[]): number[] {
  let sorted = true;
  for (let i = 1; i < positions.length; i++) if (positions[i]! < positions[i - 1]!) sorted = false;
  if (!sorted) positions.sort((a, b) => a - b);
  const ranges: number[] = [];
  for (const position of positions) {
    const last = ranges.length - 1;
    if (last > 0 && position <= ranges[last]! + 1) ranges[last] = Math.max(ranges[last]!, position);
    else ranges.push(position, position);
  }
  return ranges;
}

const COMPACT_AT = 1024;

/** First in, first out. */
export class Fifo<T> {
  private items: T[] = [];
  private head = 0;

  get size(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    this.items.push(item);
  }

  peek(): T | undefined {
    return this.items[this.head];
  }

  shift(): T | undefined {
    if (this.head === this.items.length) return undefined;
    const item = this.items[this.head++];
    if (this.head === this.items.length) {
      this.items = [];
      this.head = 0;
    } else if (this.head >= COMPACT_AT && this.head * 2 >= this.items.length) {
      this.items = this.items.slice(this.head);
      this.head = 0;
    }
    return item;
  }
}

/** Positions by time, the earliest first: two numbers for each. */
export class PositionHeap {
  private readonly times: number[] = [];
  private readonly positions: number[] = [];

  get size(): number {
    return this.times.length;
  }

  nextMs(): number | undefined {
    return this.times[0];
  }

  push(timeMs: number, position: number): void {
    const { times, positions } = this;
    let index = times.length;
    times.push(timeMs);
    positions.push(position);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (times[parent]! <= timeMs) break;
      times[index] = times[parent]!;
      positions[index] = positions[parent]!;
      index = parent;
    }
    times[index] = timeMs;
    positions[index] = position;
  }

  /** Takes the earliest one if it is due. */
  takeDue(nowMs: number): number | undefined {
    const { times, positions } = this;
    if (times.length === 0 || times[0]! > nowMs) return undefined;
    const found = positions[0]!;
    const timeMs = times.pop()!;
    const position = positions.pop()!;
    const { length } = times;
    if (length === 0) return found;
    let index = 0;
    for (let child = 1; child < length; child = 2 * index + 1) {
      if (child + 1 < length && times[child + 1]! < times[child]!) child++;
      if (times[child]! >= timeMs) break;
      times[index] = times[child]!;
      positions[index] = positions[child]!;
      index = child;
    }
    times[index] = timeMs;
    positions[index] = position;
    return found;
  }
}
