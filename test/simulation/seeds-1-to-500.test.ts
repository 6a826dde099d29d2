import { test } from 'vitest';
import { expectToHold } from './hold.ts';

test('seeds 1 to 500 hold', () => expectToHold(1, 500));
