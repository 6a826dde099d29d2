// Ids that make calls safe to repeat.

/** A UUIDv7 (RFC 9562, section 5.7). */
export function uuidv7() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let ms = Date.now();
  for (let i = 5; i >= 0; i--) {
    bytes[i] = ms % 256;
    ms = Math.floor(ms / 256);
  }
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Long before the shortest retention of sessions that a load test meets. */
const RENEW_MS = 5 * 60_000;

/** The session of one VU: it makes one request at a time, so that whatever came before is settled. */
export class Session {
  constructor() {
    this.renew();
  }

  renew() {
    this.id = uuidv7();
    this.sequence = 0;
    this.startMs = Date.now();
  }

  /** The session and sequence of the next request. */
  next() {
    if (Date.now() - this.startMs > RENEW_MS) this.renew();
    this.sequence++;
    return { session: this.id, sequence: this.sequence };
  }
}
