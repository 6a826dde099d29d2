import { expect, it } from 'vitest';
import { Admission } from './admission.ts';

it('tells of every refusal and why, and of nothing else', () => {
  const refused: string[] = [];
  const admission = new Admission({ maxCalls: 1, maxStreams: 1 }, () => 0, (why) => refused.push(why));
  expect(admission.enter('call')).toBeUndefined();
  expect(admission.enter('stream')).toBeUndefined();
  expect(refused).toEqual([]);
  expect(admission.enter('call')).toMatchObject({ reason: 'OVERLOADED' });
  expect(admission.enter('stream')).toMatchObject({ reason: 'OVERLOADED' });
  admission.leave('call');
  expect(admission.enter('call')).toBeUndefined();
  admission.draining = true;
  expect(admission.enter('call')).toMatchObject({ reason: 'DRAINING' });
  expect(refused).toEqual(['capacity', 'capacity', 'draining']);
});
