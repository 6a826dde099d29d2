// Whether what was done and what is found in the end agree, to the last one.
//
// VUs share nothing but metrics, so the books are kept in two of them. Each does not only grow:
//   <name>_missing  what was surely done, less all that may have been found: over 0, something is lost
//   <name>_surplus  what was surely found, less all that may have been done: over 0, something is twice
// An outcome that stays unknown, also of an iteration that was cut off, counts as done in the one and
// as not done in the other. Where nothing is unknown both are 0.
import { Counter } from 'k6/metrics';

export class Ledger {
  constructor(name) {
    this.missing = new Counter(`${name}_missing`);
    this.surplus = new Counter(`${name}_surplus`);
    /** For the options of a run. */
    this.thresholds = { [`${name}_missing`]: ['count<=0'], [`${name}_surplus`]: ['count<=0'] };
  }

  /**
   * Does something that counts.
   * @param act returns 'done', 'not done' or 'unknown'
   */
  write(amount, act) {
    this.surplus.add(-amount);
    const outcome = act();
    if (outcome === 'done') this.missing.add(amount);
    else if (outcome === 'not done') this.surplus.add(amount);
    return outcome;
  }

  /**
   * Finds what was done, and takes it out so that it is not found again.
   * @param act returns how many were surely found, and how many surely not; the others are unknown
   */
  take(amount, act) {
    this.missing.add(-amount);
    const { found, notFound } = act();
    this.surplus.add(found);
    this.missing.add(notFound);
  }

  /** Finds what was done by looking. */
  find(amount) {
    this.missing.add(-amount);
    this.surplus.add(amount);
  }
}
