/** What a stream has sent under ascending numbers, from 1 on, and has no answer to. */

/** Above every distance between the oldest and the newest. */
const RING = 1 << 16;

export class Unanswered {
  /** The last number. */
  sent = 0;
  answered = 0;
  /** The lowest number without an answer. */
  lowest = 1;
  private readonly sentMs = new Float64Array(RING);
  private readonly isAnswered = new Uint8Array(RING);

  send(nowMs: number): number {
    const sequence = ++this.sent;
    this.sentMs[sequence % RING] = nowMs;
    this.isAnswered[sequence % RING] = 0;
    return sequence;
  }

  /** Returns how long it took, in milliseconds. */
  answer(sequence: number, nowMs: number): number {
    if (sequence < this.lowest || sequence > this.sent || this.isAnswered[sequence % RING] === 1)
      throw new Error(`${sequence} was answered, which is not open: ${this.lowest} to ${this.sent} are`);
    this.isAnswered[sequence % RING] = 1;
    this.answered++;
    while (this.lowest <= this.sent && this.isAnswered[this.lowest % RING] === 1) this.lowest++;
    return nowMs - this.sentMs[sequence % RING]!;
  }
}
