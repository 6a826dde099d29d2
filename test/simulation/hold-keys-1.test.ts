import { test } from 'vitest';
import { expectToHold } from './hold.ts';

test('500 seeds of key-value participants hold', () => expectToHold({ shape: 'keys', start: 1, count: 500 }));
