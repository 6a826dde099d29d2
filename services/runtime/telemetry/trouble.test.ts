import { diag } from '@opentelemetry/api';
import { afterEach, expect, it } from 'vitest';
import { ManualClock } from '../store/testing/manual-clock.ts';
import { reportTrouble } from './trouble.ts';

afterEach(() => diag.disable());

it('tells of trouble at once, and then once a minute, with how much was not told', () => {
  const clock = new ManualClock();
  const told: unknown[] = [];
  const end = reportTrouble(clock, {}, (message, fields) => void told.push([message, fields]));
  diag.error('export failed', new Error('nobody is there'));
  diag.warn('again');
  diag.info('nothing of note');
  clock.advance(59_999);
  diag.error('again');
  clock.advance(1);
  diag.warn('still');
  const message = 'OpenTelemetry has trouble';
  expect(told).toEqual([
    [message, { detail: 'export failed Error: nobody is there' }],
    [message, { detail: 'still', untold: 2 }],
  ]);
  end();
  clock.advance(60_000);
  diag.error('not any more');
  expect(told).toHaveLength(2);
});

it('leaves it to the SDK where OTEL_LOG_LEVEL is set', () => {
  const told: string[] = [];
  reportTrouble(new ManualClock(), { OTEL_LOG_LEVEL: 'error' }, (message) => void told.push(message));
  diag.error('printed');
  expect(told).toEqual([]);
});
