/**
 * The right to write to a store as a whole: a key under a lease, compared in every write, so that of two who
 * restore into one store at the same time one is refused.
 */

import type { Clock } from '../runtime/clock.ts';
import { LEASED_PREFIX, type Compare, type Lease, type Store, type WriteBatch } from '../runtime/store/store.ts';
import { BackupError } from './format.ts';

const CLAIM_KEY = `${LEASED_PREFIX}restore`;
const TTL_MS = 60_000;

export class Claim {
  private readonly store: Store;
  private readonly clock: Clock;
  private readonly lease: Lease;
  private readonly fence: Compare;
  /** The store's, when the claim was taken. */
  readonly revision: number;
  private renewedMs: number;

  private constructor(store: Store, clock: Clock, lease: Lease, revision: number) {
    this.store = store;
    this.clock = clock;
    this.lease = lease;
    this.revision = revision;
    this.fence = { type: 'created', key: CLAIM_KEY, revision };
    this.renewedMs = clock.monotonicMs();
  }

  /** @throws BackupError where somebody else has it; what the store throws. */
  static async take(store: Store, clock: Clock): Promise<Claim> {
    const lease = await store.grantLease(TTL_MS);
    const result = await store.write({
      compares: [{ type: 'absent', key: CLAIM_KEY }],
      puts: [{ key: CLAIM_KEY, value: new Uint8Array(), lease }],
    });
    if (result.type === 'written') return new Claim(store, clock, lease, result.revision);
    await lease.revoke();
    throw new BackupError(`another restore into ${store.description} is under way, or ended a moment ago: try again in ${TTL_MS / 1000} s`);
  }

  /** @returns false where one of the batch's own compares does not hold. @throws what the store throws. */
  async write(batch: WriteBatch): Promise<boolean> {
    if (this.clock.monotonicMs() - this.renewedMs > TTL_MS / 4) {
      await this.lease.renew();
      this.renewedMs = this.clock.monotonicMs();
    }
    const result = await this.store.write({ ...batch, compares: [this.fence, ...(batch.compares ?? [])] });
    return result.type === 'written';
  }

  /** As {@link write}, where the batch has no compares of its own. */
  async mustWrite(batch: WriteBatch): Promise<void> {
    if (!(await this.write(batch))) throw new BackupError(`the restore into ${this.store.description} took too long between two writes, and was ended: run it again`);
  }

  /** Others may restore. The claim ends by itself where this fails. */
  async release(): Promise<void> {
    await this.lease.revoke().catch(() => undefined);
  }
}
