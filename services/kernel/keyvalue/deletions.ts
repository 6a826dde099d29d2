/**
 * Versions of keys that are absent and have no record. Absence alone does not tell that a key has not
 * existed meanwhile, so an absent key has a version too: the revision of its last deletion, remembered
 * by name for a while, and for all others a revision at or after it. Volatile: a new term begins with
 * the partition's revision. Of one key the versions so given never fall, and one that is the same
 * twice says that the key was absent all the time between.
 */

/** Names remembered in each of two generations: a few megabytes at the very most. */
const GENERATION = 4096;

export class Deletions {
  private recent = new Map<string, number>();
  private earlier = new Map<string, number>();
  private earlierThrough = 0;
  /** No key that is not remembered was deleted after it. */
  private through = 0;

  /** Whatever was deleted in earlier terms was so by this revision. */
  lead(revision: number): void {
    this.through = revision;
  }

  add(name: string, revision: number): void {
    this.recent.set(name, revision);
    if (this.recent.size < GENERATION) return;
    // Not one name at a time: the version of all others changes with every name that is forgotten.
    this.through = Math.max(this.through, this.earlierThrough);
    this.earlierThrough = revision;
    this.earlier = this.recent;
    this.recent = new Map();
  }

  /** The version of a key that is absent. */
  version(name: string): number {
    return this.recent.get(name) ?? this.earlier.get(name) ?? this.through;
  }
}
