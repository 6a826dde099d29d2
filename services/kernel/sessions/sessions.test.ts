import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RecordWriter } from '../outcomes/outcomes.ts';
import { TOKEN_PREFIX } from './log.ts';
import type { Session } from './session.ts';
import { Sessions } from './sessions.ts';
import { DEFAULT_SESSION_SETTINGS, type SessionSettings, type TokenRecord } from './types.ts';

const START_MS = 1_700_000_000_000;

function sessionId(n: number, atMs = START_MS): string {
  const time = atMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** A partition's sessions with a store; every batch is checked for replay equality (P3). */
class Partition {
  readonly store = new Map<string, TokenRecord<string>>();
  sessions!: Sessions<string>;
  nowMs = START_MS;
  private readonly settings: SessionSettings;

  constructor(settings: Partial<SessionSettings> = {}) {
    this.settings = { ...DEFAULT_SESSION_SETTINGS, resultBytes: 10, scopeBytes: 10, ...settings };
    this.restart();
  }

  restart(): void {
    this.sessions = this.recovered();
  }

  /** Executes a token, or says what became of it. */
  use(session: string, sequence: number, settledBelow = 1, scope = ''): string {
    const opened = this.sessions.open(scope, session, settledBelow, this.nowMs);
    if ('reason' in opened) return opened.reason;
    const known = opened.find(sequence);
    if (known !== undefined) return known;
    const refusal = opened.refusal(sequence) ?? this.sessions.fullness(scope);
    if (refusal !== undefined) return refusal.reason;
    this.sessions.record(opened, sequence, `result ${sequence}`);
    return 'executed';
  }

  open(session: string, settledBelow = 1): Session<string> {
    const opened = this.sessions.open('', session, settledBelow, this.nowMs);
    if ('reason' in opened) throw new Error(opened.message);
    return opened;
  }

  seal(): void {
    let operations = 0;
    const removed: { from: string; to: string }[] = [];
    const out: RecordWriter<TokenRecord<string>> = {
      put: (key, record) => {
        operations++;
        this.store.set(key, structuredClone(record));
      },
      remove: () => operations++,
      removeRange: (from, to) => {
        operations++;
        removed.push({ from, to });
      },
    };
    this.sessions.seal(this.nowMs, out);
    expect(operations).toBeLessThanOrEqual(this.sessions.sealCost.operations);
    for (const { from, to } of removed) for (const key of this.store.keys()) if (key >= from && key < to) this.store.delete(key);
    expect(this.recovered().durableState()).toEqual(this.sessions.durableState());
  }

  private recovered(): Sessions<string> {
    const sessions = new Sessions<string>(this.settings);
    for (const key of [...this.store.keys()].sort()) {
      expect(key.startsWith(TOKEN_PREFIX)).toBe(true);
      sessions.recover(key, this.store.get(key)!);
    }
    return sessions;
  }
}

describe('tokens', () => {
  test('C2: a token is executed once, and a retry gets its result, after a restart too', () => {
    const partition = new Partition();
    expect(partition.use(sessionId(1), 1)).toBe('executed');
    expect(partition.use(sessionId(1), 1)).toBe('result 1');
    partition.seal();
    partition.restart();
    expect(partition.use(sessionId(1), 1)).toBe('result 1');
    expect(partition.use(sessionId(2), 1)).toBe('executed');
  });

  test('what a session has settled is forgotten, and refused from then on', () => {
    const partition = new Partition();
    for (let sequence = 1; sequence <= 10; sequence++) partition.use(sessionId(1), sequence);
    expect(partition.open(sessionId(1), 8).executed.size).toBe(3);
    expect(partition.use(sessionId(1), 7, 1)).toBe('TOKEN_SETTLED');
    expect(partition.use(sessionId(1), 9, 1)).toBe('result 9');
    partition.seal();
    partition.restart();
    expect(partition.use(sessionId(1), 7, 1)).toBe('TOKEN_SETTLED');
  });

  test('a session that settles nothing is told so, and may go on once it does', () => {
    const partition = new Partition({ maxSessionTokens: 3 });
    for (let sequence = 1; sequence <= 3; sequence++) expect(partition.use(sessionId(1), sequence)).toBe('executed');
    expect(partition.use(sessionId(1), 4)).toBe('OVERLOADED');
    expect(partition.use(sessionId(1), 4, 2)).toBe('executed');
  });

  test('an idle session expires with the floor, one that is used does not, whatever its age', () => {
    const partition = new Partition({ retentionMs: 1000 });
    for (const n of [1, 2, 3]) partition.use(sessionId(n), 1);
    partition.seal();
    partition.nowMs += 999;
    partition.use(sessionId(1), 2);
    partition.seal();
    partition.nowMs += 2;
    partition.sessions.collect(partition.nowMs);
    partition.seal();
    expect([1, 2, 3, 4].map((n) => partition.use(sessionId(n), 1))).toEqual(['result 1', 'SESSION_EXPIRED', 'SESSION_EXPIRED', 'executed']);
    partition.seal();
    partition.restart();
    expect(partition.use(sessionId(2), 1)).toBe('SESSION_EXPIRED');
  });

  test('a new term counts idle time from its own beginning', () => {
    const partition = new Partition({ retentionMs: 1000 });
    partition.use(sessionId(1), 1);
    partition.seal();
    partition.restart();
    partition.nowMs += 60_000;
    partition.sessions.collect(partition.nowMs);
    partition.seal();
    expect(partition.use(sessionId(1), 1)).toBe('result 1');
  });

  test('a session of the future is refused, and so is one beyond the bound', () => {
    const partition = new Partition({ maxSessions: 1 });
    expect(partition.use(sessionId(1, START_MS + 60_001), 1)).toBe('SESSION_IN_FUTURE');
    expect(partition.use(sessionId(1, START_MS + 60_000), 1)).toBe('executed');
    expect(partition.use(sessionId(2), 1)).toBe('OVERLOADED');
  });

  test('the log stays small though one session never settles its first token', () => {
    const partition = new Partition();
    partition.use(sessionId(1), 1);
    for (let sequence = 1; sequence <= 1500; sequence++) {
      partition.use(sessionId(2), sequence, sequence);
      partition.seal();
    }
    expect(partition.store.size).toBeLessThan(250);
    partition.restart();
    expect(partition.use(sessionId(1), 1)).toBe('result 1');
  });
});

/** What two partitions do that share scopes, which move between them. */
const action = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('use' as const), scope: fc.nat(2), session: fc.nat(4), sequence: fc.integer({ min: 1, max: 30 }), behind: fc.nat(12) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('seal' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('move' as const), scope: fc.integer({ min: 1, max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(10, 500, 3000) }) },
);

test('C2, P3: no token is ever executed twice, over restarts, forgetting and moves of scopes', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 120 }), (actions) => {
      const partitions = [new Partition({ retentionMs: 1000, maxScopeTokens: 9 }), new Partition({ retentionMs: 1000 })] as const;
      const home = [0, 0, 0];
      const executed = new Set<string>();
      for (const each of actions) {
        switch (each.do) {
          case 'use': {
            const { scope, session, sequence, behind } = each;
            const result = partitions[home[scope]!]!.use(sessionId(session), sequence, Math.max(1, sequence - behind), scope === 0 ? '' : `s${scope}`);
            const name = `${scope} ${session} ${sequence}`;
            if (result === 'executed') {
              expect(executed).not.toContain(name);
              executed.add(name);
            } else if (result.startsWith('result')) expect(result).toBe(`result ${sequence}`);
            break;
          }
          case 'move': {
            const from = partitions[home[each.scope]!]!;
            home[each.scope] = 1 - home[each.scope]!;
            const to = partitions[home[each.scope]!]!;
            from.seal();
            const { floor, groups } = from.sessions.extract(`s${each.scope}`);
            to.sessions.install(floor, structuredClone(groups), to.nowMs);
            to.seal();
            from.sessions.drop(`s${each.scope}`);
            from.seal();
            break;
          }
          case 'seal':
            for (const partition of partitions) partition.seal();
            break;
          case 'restart':
            for (const partition of partitions) {
              partition.seal();
              partition.restart();
            }
            break;
          case 'pass':
            for (const partition of partitions) {
              partition.nowMs += each.ms;
              if ((partition.sessions.collectDueMs ?? Infinity) <= partition.nowMs) partition.sessions.collect(partition.nowMs);
            }
            break;
        }
      }
    }),
    { numRuns: 500 },
  );
});
