import { idFloorAt } from '../transaction-id.ts';

interface Generation<Outcome> {
  readonly outcomes: Map<string, Outcome>;
  bytes: number;
  highestId: string;
}

/**
 * A bounded cache of outcomes by id, in two generations: when the young one has half of the bytes,
 * the old one is dropped and the young one becomes old. Nothing is moved and nothing is scanned.
 */
export class RecentOutcomes<Outcome extends object> {
  private readonly sizeOf: (outcome: Outcome) => number;
  private readonly generationBytes: number;
  private young: Generation<Outcome> = emptyGeneration();
  private old: Generation<Outcome> = emptyGeneration();

  constructor(sizeOf: (outcome: Outcome) => number, bytes: number) {
    this.sizeOf = sizeOf;
    this.generationBytes = bytes / 2;
  }

  get(id: string): Outcome | undefined {
    return this.young.outcomes.get(id) ?? this.old.outcomes.get(id);
  }

  set(id: string, outcome: Outcome): void {
    this.young.outcomes.set(id, outcome);
    this.young.bytes += this.sizeOf(outcome);
    if (id > this.young.highestId) this.young.highestId = id;
  }

  /** Drops the old generation if it is time to. Returns the highest id that is forgotten by it, or ''. */
  trim(nowMs: number): string {
    if (this.young.bytes < this.generationBytes) return '';
    const dropped = this.old;
    this.old = this.young;
    this.young = emptyGeneration();
    return this.carryOver(dropped, idFloorAt(nowMs));
  }

  /**
   * Keeps what is ahead of our clock, within bounds: the ids of one client whose clock is ahead must
   * not raise the watermark over everybody else's, who would have to be looked up in the store.
   */
  private carryOver(dropped: Generation<Outcome>, aheadOf: string): string {
    if (dropped.highestId <= aheadOf) return dropped.highestId;
    let forgotten = '';
    for (const [id, outcome] of dropped.outcomes) {
      if (this.get(id) !== undefined) continue;
      if (id > aheadOf && this.young.bytes < this.generationBytes / 4) this.set(id, outcome);
      else if (id > forgotten) forgotten = id;
    }
    return forgotten;
  }
}

function emptyGeneration<Outcome>(): Generation<Outcome> {
  return { outcomes: new Map(), bytes: 0, highestId: '' };
}
