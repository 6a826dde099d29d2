import { expect, it } from 'vitest';
import { createLog } from './log.ts';

it('writes one JSON object a line, with level, time and fields', () => {
  const lines: string[] = [];
  const log = createLog('info', { replica: 'r1' }, { write: (line) => lines.push(line) });
  log.info('leading', { partition: 3 });
  log.debug('not at this level');
  expect(lines).toHaveLength(1);
  const entry = JSON.parse(lines[0]!) as Record<string, unknown>;
  expect(entry).toMatchObject({ level: 'info', message: 'leading', replica: 'r1', partition: 3 });
  expect(Number.isNaN(Date.parse(String(entry['time'])))).toBe(false);
});
