/** Which messages have come: nothing may be lost, and the row says if something came twice. */

const INITIAL_BYTES = 1 << 17;

export class Seen {
  /** Different ones. */
  count = 0;
  private bits = new Uint8Array(INITIAL_BYTES);

  /** False if the number was there before. */
  add(sequence: number): boolean {
    const at = sequence >>> 3;
    const bit = 1 << (sequence & 7);
    if (at >= this.bits.length) {
      const larger = new Uint8Array(Math.max(at + 1, this.bits.length * 2));
      larger.set(this.bits);
      this.bits = larger;
    }
    if ((this.bits[at]! & bit) !== 0) return false;
    this.bits[at]! |= bit;
    this.count++;
    return true;
  }
}
