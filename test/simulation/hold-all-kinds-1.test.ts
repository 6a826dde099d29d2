import { test } from 'vitest';
import { expectToHold } from './hold.ts';

test('150 seeds of participants of all kinds hold', () => expectToHold({ shape: 'all kinds', start: 1, count: 150 }));
