/** What can go wrong with a store. Each says what happened, to what, and what to do. */

export abstract class StoreError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** The request was surely not executed; it may be tried again. */
export class StoreUnavailable extends StoreError {}

/** The store has no room left; the write was surely not executed. */
export class StoreFull extends StoreError {}

/** It is not known whether the write was, or will be, executed. */
export class AmbiguousWrite extends StoreError {}

/** The batch is over a limit; the message names it. Nothing was changed. */
export class WriteLimitExceeded extends StoreError {}

/** The batch names a key twice. Nothing was changed. */
export class DuplicateKey extends StoreError {}

/** The call breaks a rule of the port (a malformed key, a lease in the wrong place). Nothing was changed. */
export class InvalidStoreRequest extends StoreError {}

/** The lease has ended; its keys are gone or going. A write under it was surely not executed. */
export class LeaseLost extends StoreError {}

/** The store can't be opened; the message names the setting to change. */
export class StoreUnusable extends StoreError {}
