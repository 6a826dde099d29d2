/** Executed tokens in records and messages: packed, as there are very many. */

import type { CounterTokenGroup, CounterTokenRecord } from '../gen/txmesh/record/v1/counter_record.ts';
import type { TokenResult } from '../kernel/counter/types.ts';
import type { TokenGroup, TokenRecord } from '../kernel/sessions/types.ts';

/** Bytes of `outcomes`. */
const COUNTED = 0;
const COUNTED_VALUE = 1;
const REFUSED = 2;

export function toTokens({ floor, dropped, ended, groups }: TokenRecord<TokenResult>): CounterTokenRecord {
  const scopes = new Map<string, number>([['', 0]]);
  const indexOf = (scope: string): number => {
    let index = scopes.get(scope);
    if (index === undefined) scopes.set(scope, (index = scopes.size));
    return index;
  };
  return {
    floor,
    dropped: [...dropped],
    ended: ended.map(({ scope, session }) => ({ scope: indexOf(scope), session })),
    groups: groups.map((group) => toGroup(group, indexOf(group.scope))),
    scopes: [...scopes.keys()],
  };
}

export function fromTokens({ floor, dropped, scopes, ended, groups }: CounterTokenRecord): TokenRecord<TokenResult> {
  return {
    type: 'tokens',
    floor,
    dropped,
    ended: ended.map(({ scope, session }) => ({ scope: scopes[scope] ?? '', session })),
    groups: groups.map((group) => fromGroup(group, scopes[group.scope] ?? '')),
  };
}

export function toGroup({ session, mark, sequences, results }: TokenGroup<TokenResult>, scope: number): CounterTokenGroup {
  const distances: number[] = [];
  const checks: number[] = [];
  const values: bigint[] = [];
  const outcomes = new Uint8Array(results.length);
  for (let i = 0; i < results.length; i++) {
    const result = results[i]!;
    distances.push(sequences[i]! - mark);
    checks.push(result.check);
    if (result.type === 'refused') {
      outcomes[i] = REFUSED;
      values.push(result.left);
    } else if (result.value !== undefined) {
      outcomes[i] = COUNTED_VALUE;
      values.push(result.value);
    }
  }
  return { scope, session, mark, sequences: distances, checks, outcomes, values };
}

export function fromGroup({ session, mark, sequences, checks, outcomes, values }: CounterTokenGroup, scope: string): TokenGroup<TokenResult> {
  let next = 0;
  const results = sequences.map((_, i): TokenResult => {
    const check = checks[i] ?? 0;
    const outcome = outcomes[i] ?? COUNTED;
    if (outcome === COUNTED) return { type: 'counted', check, value: undefined };
    const value = values[next++] ?? 0n;
    return outcome === REFUSED ? { type: 'refused', check, left: value } : { type: 'counted', check, value };
  });
  return { scope, session, mark, sequences: sequences.map((distance) => mark + distance), results };
}
