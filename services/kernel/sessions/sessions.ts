/**
 * The sessions of one partition: which requests were executed, so that a retry is answered and not
 * executed again (invariant C2). A session is known from its first token until it was idle for the
 * retention period; then the floor rises to its id, and an unknown session at or below the floor is
 * expired, whatever any clock says (as T9 has it for transactions).
 *
 * How a resource hosts one: records of {@link TOKEN_PREFIX} go to {@link Sessions.recover}; for each
 * request {@link Sessions.open}, then for each token `find`, `refusal`, and {@link Sessions.record} once
 * it is executed, in the same step; {@link Sessions.collect} at {@link Sessions.collectDueMs};
 * {@link Sessions.seal} once per batch.
 */

import type { Cost } from '../kernel.ts';
import type { RecordWriter } from '../outcomes/outcomes.ts';
import { FUTURE_BOUND_MS, isInFuture } from '../transaction-id.ts';
import { append, MOVED_GROUPS, MOVED_TOKENS, TokenLog } from './log.ts';
import { Session, type LogEntry } from './session.ts';
import type { SessionSettings, TokenGroup, TokenRecord, TokenRefusal } from './types.ts';

/** Most sessions that one {@link Sessions.collect} forgets. */
export const COLLECTED_SESSIONS = 64;

/** Tags and lengths; the floor; a session's id and mark; a sequence. */
const RECORD_BYTES = 128;
const GROUP_BYTES = 72;
const SEQUENCE_BYTES = 8;
const FULL_RETRY_MS = 1000;

/** Tokens of a scope other than ''. */
interface Scope<Result> {
  readonly sessions: Set<Session<Result>>;
  tokens: number;
}

export class Sessions<Result> {
  private readonly settings: SessionSettings;
  private readonly log = new TokenLog<Result>();
  /** By scope, a line feed and id; the least recently used first, to the accuracy of a batch. */
  private readonly sessions = new Map<string, Session<Result>>();
  private readonly scopes = new Map<string, Scope<Result>>();
  private readonly used = new Set<Session<Result>>();
  private floor = '';
  private tokens = 0;
  private startMs: number | undefined;

  constructor(settings: SessionSettings) {
    this.settings = settings;
  }

  // Recovery

  recover(key: string, record: TokenRecord<Result>): void {
    if (record.floor > this.floor) this.floor = record.floor;
    for (const scope of record.dropped) this.forgetScope(scope);
    for (const { scope, session } of record.ended) {
      const known = this.sessions.get(nameOf(scope, session));
      if (known !== undefined) this.forget(known);
    }
    this.log.recovered(key, this.floor, record.groups.map((group) => this.restore(group)));
  }

  // Using tokens

  /** The session, which has heard `settledBelow` then; or why it can't be used. */
  open(scope: string, id: string, settledBelow: number, nowMs: number): Session<Result> | TokenRefusal {
    const known = this.sessions.get(nameOf(scope, id));
    if (known !== undefined) {
      if (settledBelow > known.mark) this.raise(known, settledBelow);
      this.used.add(known);
      return known;
    }
    const refusal = this.refusalOfNew(scope, id, nowMs);
    if (refusal !== undefined) return refusal;
    const session = this.create(scope, id);
    session.mark = settledBelow;
    session.lastUsedMs = nowMs;
    this.log.touch(session);
    this.used.add(session);
    return session;
  }

  /** A token that `find` does not know and `refusal` lets pass was executed, in this step. */
  record(session: Session<Result>, sequence: number, result: Result): void {
    session.executed.set(sequence, result);
    append(this.log.touch(session), sequence);
    this.count(session, 1);
  }

  /** Why no further token can be recorded, if that is so. */
  fullness(scope: string): TokenRefusal | undefined {
    const { maxTokens, maxScopeTokens } = this.settings;
    if (this.tokens >= maxTokens) return full(`${this.tokens} executed requests at this partition are not settled`);
    const tokens = this.scopes.get(scope)?.tokens ?? 0;
    return tokens >= maxScopeTokens ? full(`${tokens} executed requests of ${scope} are not settled`) : undefined;
  }

  // Moving a scope

  /** Everything that another partition must know to go on with the scope. */
  extract(scope: string): { readonly floor: string; readonly groups: readonly TokenGroup<Result>[] } {
    const groups: TokenGroup<Result>[] = [];
    for (const { id, mark, executed } of this.scopes.get(scope)?.sessions ?? []) {
      groups.push({ scope, session: id, mark, sequences: [...executed.keys()], results: [...executed.values()] });
    }
    return { floor: this.floor, groups: groups.sort((a, b) => (a.session < b.session ? -1 : 1)) };
  }

  /** Takes over a scope that is not known here, or known less of. */
  install(floor: string, groups: readonly TokenGroup<Result>[], nowMs: number): void {
    if (floor > this.floor) this.floor = floor;
    for (const group of groups) {
      const { session } = this.restore(group);
      session.lastUsedMs = nowMs;
      const entry = this.log.touch(session);
      for (const sequence of group.sequences) append(entry, sequence);
    }
  }

  /** Forgets a scope with all its sessions. */
  drop(scope: string): void {
    if (!this.scopes.has(scope)) return;
    this.forgetScope(scope);
    this.log.drop(scope);
  }

  // Forgetting

  /** Wall time at which {@link collect} has something to do; undefined: never. */
  get collectDueMs(): number | undefined {
    for (const session of this.sessions.values()) return this.lastUsedMs(session) + this.settings.retentionMs;
    return undefined;
  }

  /** Forgets sessions that were idle for too long, a bounded number at a time. */
  collect(nowMs: number): void {
    this.startMs ??= nowMs;
    let collected = 0;
    for (const session of this.sessions.values()) {
      if (collected === COLLECTED_SESSIONS || this.lastUsedMs(session) + this.settings.retentionMs > nowMs) return;
      if (session.pending !== undefined || this.used.has(session)) continue;
      if (session.id > this.floor) this.floor = session.id;
      this.forget(session);
      this.log.end(session);
      collected++;
    }
  }

  // Ending a batch

  seal(nowMs: number, out: RecordWriter<TokenRecord<Result>>): void {
    this.startMs ??= nowMs;
    for (const session of this.used) {
      if (session.gone) continue;
      session.lastUsedMs = nowMs;
      const name = nameOf(session.scope, session.id);
      this.sessions.delete(name);
      this.sessions.set(name, session);
    }
    this.used.clear();
    this.log.seal(this.floor, this.tokens, this.sessions.size, out);
  }

  /** Upper bound of what {@link seal} adds, beyond {@link Sessions.tokenBytes} and {@link Sessions.groupBytes} of what was used. */
  get sealCost(): Cost {
    return { operations: 2, bytes: RECORD_BYTES + MOVED_TOKENS * this.tokenBytes + MOVED_GROUPS * this.groupBytes };
  }

  /** Upper bound of what one {@link collect} writes. */
  get collectBytes(): number {
    return COLLECTED_SESSIONS * this.groupBytes;
  }

  /** Upper bound of one recorded token, in bytes. */
  get tokenBytes(): number {
    return SEQUENCE_BYTES + this.settings.resultBytes;
  }

  /** Upper bound of what opening a session writes, in bytes. */
  get groupBytes(): number {
    return GROUP_BYTES + this.settings.scopeBytes;
  }

  durableState(): unknown {
    const sessions = [];
    for (const [name, { mark, executed }] of this.sessions) {
      sessions.push({ name, mark, executed: [...executed].sort(([a], [b]) => a - b) });
    }
    return { floor: this.floor, sessions: sessions.sort((a, b) => (a.name < b.name ? -1 : 1)) };
  }

  // Parts

  private restore({ scope, session: id, mark, sequences, results }: TokenGroup<Result>): LogEntry<Result> {
    const session = this.sessions.get(nameOf(scope, id)) ?? this.create(scope, id);
    if (mark > session.mark) this.raise(session, mark, false);
    const entry: LogEntry<Result> = { session, sequences: [], highest: 0 };
    sequences.forEach((sequence, i) => {
      append(entry, sequence);
      if (sequence < session.mark || session.executed.has(sequence)) return;
      session.executed.set(sequence, results[i]!);
      this.count(session, 1);
    });
    return entry;
  }

  private create(scope: string, id: string): Session<Result> {
    const session = new Session<Result>(scope, id, this.settings.maxSessionTokens);
    this.sessions.set(nameOf(scope, id), session);
    if (scope !== '') {
      const known = this.scopes.get(scope);
      if (known === undefined) this.scopes.set(scope, { sessions: new Set([session]), tokens: 0 });
      else known.sessions.add(session);
    }
    return session;
  }

  private raise(session: Session<Result>, settledBelow: number, durable = true): void {
    this.count(session, -session.raise(settledBelow));
    if (durable) this.log.touch(session);
  }

  private count({ scope }: Session<Result>, change: number): void {
    this.tokens += change;
    if (scope !== '') this.scopes.get(scope)!.tokens += change;
  }

  private forget(session: Session<Result>): void {
    const { scope, id, executed } = session;
    session.gone = true;
    this.count(session, -executed.size);
    this.sessions.delete(nameOf(scope, id));
    const known = this.scopes.get(scope);
    known?.sessions.delete(session);
    if (known?.sessions.size === 0) this.scopes.delete(scope);
  }

  private forgetScope(scope: string): void {
    for (const session of this.scopes.get(scope)?.sessions ?? []) this.forget(session);
  }

  /** Of one that was recovered, the use is as old as the term. */
  private lastUsedMs({ lastUsedMs }: Session<Result>): number {
    return Math.max(lastUsedMs, this.startMs ?? 0);
  }

  private refusalOfNew(scope: string, id: string, nowMs: number): TokenRefusal | undefined {
    if (id <= this.floor) return expired(id);
    if (isInFuture(id, nowMs)) return inFuture(id);
    const { maxSessions, maxScopeSessions } = this.settings;
    if (this.sessions.size >= maxSessions) return full(`${this.sessions.size} sessions are known to this partition`);
    const inScope = this.scopes.get(scope)?.sessions.size ?? 0;
    return inScope >= maxScopeSessions ? full(`${inScope} sessions of ${scope} are known`) : undefined;
  }
}

/** An id has no line feed. */
function nameOf(scope: string, id: string): string {
  return scope === '' ? id : `${scope}\n${id}`;
}

function expired(id: string): TokenRefusal {
  return {
    reason: 'SESSION_EXPIRED',
    message:
      `session ${id} is not known, and is older than the sessions that are kept, so it can't be known what was executed in it; ` +
      'nothing was done: send new requests in a new session, and check the clock if it was new',
    metadata: { session: id },
  };
}

function inFuture(id: string): TokenRefusal {
  return {
    reason: 'SESSION_IN_FUTURE',
    message: `the time of session ${id} is more than ${FUTURE_BOUND_MS} ms in the future; check the client's clock`,
    metadata: { session: id },
  };
}

function full(what: string): TokenRefusal {
  return {
    reason: 'OVERLOADED',
    message: `${what}, the limit; keep sessions for many requests, raise settled_below, and try again later`,
    retryAfterMs: FULL_RETRY_MS,
  };
}
