/**
 * New transaction ids: UUIDv7 (RFC 9562, section 5.7) with a 12-bit counter in rand_a (section 6.2,
 * method 1), so that the ids of one process ascend. Random bits are drawn in batches: drawing them id
 * by id costs several times as much as all the rest.
 */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const random = new Uint8Array(8 * 512);
/** Counters start in the lower half, so that at least 2048 ids fit into a millisecond. */
const COUNTER_START_MASK = 0x7ff;
const COUNTER_LIMIT = 0xfff;
/** If the wall clock falls back by more than this, ids follow it: far in the future they would be refused. */
const FALLBACK_MS = 1_000;

let used = random.length;
let lastMs = 0;
let counter = 0;
let timePart = '';

/** A new id at the time `nowMs`, milliseconds since 1970. */
export function newTransactionId(nowMs: number = Date.now()): string {
  if (used === random.length) {
    crypto.getRandomValues(random);
    used = 0;
  }
  if (nowMs > lastMs || nowMs < lastMs - FALLBACK_MS) startMillisecond(nowMs);
  else if (++counter > COUNTER_LIMIT) startMillisecond(lastMs + 1);
  const r = random;
  const i = used;
  used += 8;
  return (
    timePart + HEX[0x70 | (counter >> 8)]! + HEX[counter & 0xff]! + '-' +
    HEX[0x80 | (r[i]! & 0x3f)]! + HEX[r[i + 1]!]! + '-' +
    HEX[r[i + 2]!]! + HEX[r[i + 3]!]! + HEX[r[i + 4]!]! + HEX[r[i + 5]!]! + HEX[r[i + 6]!]! + HEX[r[i + 7]!]!
  );
}

function startMillisecond(ms: number): void {
  lastMs = ms;
  counter = ((random[used]! << 8) | random[used + 1]!) & COUNTER_START_MASK;
  const hex = ms.toString(16).padStart(12, '0');
  timePart = `${hex.slice(0, 8)}-${hex.slice(8)}-`;
}
