import { test } from 'vitest';
import { expectToHold } from './hold.ts';

test('seeds 501 to 1,000 hold', () => expectToHold(501, 500));
