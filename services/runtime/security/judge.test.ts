import { expect, test } from 'vitest';
import { RightsJudge } from './judge.ts';
import type { Rights } from './rights.ts';

test('a request that asks for nothing by itself has no rule of the request before', () => {
  const judge = new RightsJudge(() => false);
  const rights = { ruleForResource: () => 'operators' } as unknown as Rights;
  judge.begin(rights, 'CounterService/Add').needs('counters', 'counter', 'sales');
  expect(judge.rule).toBe('operators');
  expect(judge.begin(rights, 'CounterService/MergeState').rule).toBeUndefined();
});
