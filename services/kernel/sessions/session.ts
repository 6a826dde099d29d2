/** One session of one scope: what was executed in it and may still be retried. */

import type { TokenRefusal } from './types.ts';

/** Where the tokens of one batch are in memory, as long as their record is in the store. */
export interface LogEntry<Result> {
  readonly session: Session<Result>;
  readonly sequences: number[];
  highest: number;
}

/** One record of the log. */
export interface LogRecord<Result> {
  readonly number: number;
  readonly entries: readonly LogEntry<Result>[];
}

const FULL_RETRY_MS = 100;

/** Only {@link Sessions} and its log change one. */
export class Session<Result> {
  readonly scope: string;
  readonly id: string;
  /** The highest `settledBelow` heard: what is below is settled. */
  mark = 1;
  /** Results of what was executed at or above the mark. */
  readonly executed = new Map<number, Result>();
  lastUsedMs = 0;
  /** The newest record that names it, so that its mark is kept. */
  latest: LogRecord<Result> | undefined;
  /** In the batch under way. */
  pending: LogEntry<Result> | undefined;
  /** It is forgotten. */
  gone = false;
  private readonly limit: number;

  constructor(scope: string, id: string, limit: number) {
    this.scope = scope;
    this.id = id;
    this.limit = limit;
  }

  /** The result, if the token was executed and may still be retried. */
  find(sequence: number): Result | undefined {
    return this.executed.get(sequence);
  }

  /** Why a token that {@link find} does not know can't be executed, if it can't. */
  refusal(sequence: number): TokenRefusal | undefined {
    if (sequence < this.mark) return settled(this, sequence);
    return this.executed.size >= this.limit ? tooManyTokens(this) : undefined;
  }

  /** Forgets what is below the mark. Returns how many tokens that were. */
  raise(settledBelow: number): number {
    const { executed, mark } = this;
    const before = executed.size;
    this.mark = settledBelow;
    if (settledBelow - mark <= before) {
      for (let sequence = mark; sequence < settledBelow; sequence++) executed.delete(sequence);
    } else for (const sequence of executed.keys()) if (sequence < settledBelow) executed.delete(sequence);
    return before - executed.size;
  }
}

function settled({ id, mark }: Session<unknown>, sequence: number): TokenRefusal {
  return {
    reason: 'TOKEN_SETTLED',
    message:
      `token ${sequence} of session ${id} is settled: the session has said that it retries nothing below ${mark}, ` +
      'so it can\'t be known any more whether this was executed; a new request takes a new sequence',
    metadata: { session: id, settledBelow: String(mark) },
  };
}

function tooManyTokens({ id, executed, mark }: Session<unknown>): TokenRefusal {
  return {
    reason: 'OVERLOADED',
    message: `session ${id} has ${executed.size} executed requests that it has not settled, the limit; settle those from ${mark} on by raising settled_below`,
    metadata: { session: id, settledBelow: String(mark) },
    retryAfterMs: FULL_RETRY_MS,
  };
}
