/**
 * Idempotency tokens: what a client sends with work that must never be done twice. A client has a
 * session (a UUIDv7) and counts its requests in it; with every request it says below which number it
 * will retry nothing any more.
 */

/** One request of a session. */
export interface Token {
  /** UUIDv7 in canonical form: its time tells old sessions from new ones. */
  readonly session: string;
  /** 1 or more, unique within the session. A retry has the same. */
  readonly sequence: number;
  /** The lowest sequence that the session may still retry, from 1 to `sequence`. */
  readonly settledBelow: number;
}

/** The most that a sequence may be ahead of the `settledBelow` that it comes with. */
export const MAX_AHEAD = 1_048_576;

/** Why a token can't be used. Nothing was done. Its shape is that of a Failure. */
export interface TokenRefusal {
  readonly reason: 'SESSION_EXPIRED' | 'SESSION_IN_FUTURE' | 'TOKEN_SETTLED' | 'OVERLOADED';
  readonly message: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly retryAfterMs?: number;
}

/** What one batch recorded of one session; or what is moved with its scope to another partition. */
export interface TokenGroup<Result> {
  /** What the tokens are about, where they may move apart from others: '' or a name of the host's own. */
  readonly scope: string;
  readonly session: string;
  /** The highest `settledBelow` heard. */
  readonly mark: number;
  /** What was executed, with its result at the same place. What is below the mark counts for nothing. */
  readonly sequences: readonly number[];
  readonly results: readonly Result[];
}

/** Names a session within its scope. */
export interface SessionName {
  readonly scope: string;
  readonly session: string;
}

/** Under `token/<number>`: the tokens of one batch. Taken in order: what ended first, then the groups. */
export interface TokenRecord<Result> {
  readonly type: 'tokens';
  /** No session at or below it is known, except those that have a record. '' at first. */
  readonly floor: string;
  /** Scopes that were dropped with all their sessions. */
  readonly dropped: readonly string[];
  /** Sessions that were forgotten because they were idle. */
  readonly ended: readonly SessionName[];
  readonly groups: readonly TokenGroup<Result>[];
}

export interface SessionSettings {
  /** How long an idle session is remembered, milliseconds. */
  readonly retentionMs: number;
  /** Most sessions of a partition, and most tokens of all of them that are not settled. */
  readonly maxSessions: number;
  readonly maxTokens: number;
  /** Most sessions, and unsettled tokens, of one scope other than '': what can be moved in one write. */
  readonly maxScopeSessions: number;
  readonly maxScopeTokens: number;
  /** Most tokens of one session that are not settled. */
  readonly maxSessionTokens: number;
  /** Upper bounds of an encoded result and of a scope's name, bytes. */
  readonly resultBytes: number;
  readonly scopeBytes: number;
}

export const DEFAULT_SESSION_SETTINGS: Omit<SessionSettings, 'resultBytes' | 'scopeBytes'> = {
  retentionMs: 15 * 60_000,
  maxSessions: 200_000,
  maxTokens: 1_000_000,
  maxScopeSessions: 12_000,
  maxScopeTokens: 8_192,
  maxSessionTokens: 4_096,
};
