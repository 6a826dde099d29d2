/**
 * The tokens that this process takes for callers who bring none. They make its own retries safe, and
 * take no more room at the partitions than one client does.
 */

import { idTimeMs } from '../../kernel/transaction-id.ts';

/** A session is used for so long, milliseconds: well within any retention. */
const LIFETIME_MS = 60_000;
/** And for so many tokens after the first one without a result: what is executed above it is not settled. */
const MOST_AHEAD = 2_048;

interface Session {
  readonly id: string;
  next: number;
  /** Sequences without a result; in the order in which they were taken. */
  readonly open: Set<number>;
}

/** A token that was taken; `settle` says that its result is known, or will not be asked for again. */
export interface TakenToken {
  readonly session: string;
  readonly sequence: number;
  readonly settledBelow: number;
  settle(): void;
}

export class OwnSession {
  private readonly newId: () => string;
  private current: Session | undefined;

  constructor(newId: () => string) {
    this.newId = newId;
  }

  take(nowMs: number): TakenToken {
    const session = this.session(nowMs);
    const sequence = session.next++;
    session.open.add(sequence);
    const settledBelow = lowestOf(session);
    return { session: session.id, sequence, settledBelow, settle: () => void session.open.delete(sequence) };
  }

  /** The next token is of a new session. */
  renew(): void {
    this.current = undefined;
  }

  private session(nowMs: number): Session {
    const { current } = this;
    if (current !== undefined && current.next - lowestOf(current) < MOST_AHEAD && Math.abs(nowMs - idTimeMs(current.id)) < LIFETIME_MS) return current;
    return (this.current = { id: this.newId(), next: 1, open: new Set() });
  }
}

/** Of the sequences without a result; the next one if there is none. */
function lowestOf({ open, next }: Session): number {
  for (const sequence of open) return sequence;
  return next;
}
