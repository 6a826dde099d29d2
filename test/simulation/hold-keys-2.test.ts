import { test } from 'vitest';
import { expectToHold } from './hold.ts';

test('500 further seeds of key-value participants hold', () => expectToHold({ shape: 'keys', start: 1001, count: 500 }));
