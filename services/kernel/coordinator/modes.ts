/**
 * The mode of a transaction is data, its rules are functions: another mode adds an entry here and
 * changes nothing in the kernel.
 */

import type { ModeRules } from './mode-rules.ts';
import { twoPhaseCommit } from './two-phase.ts';
import type { Mode } from './types.ts';

export const MODES: Readonly<Record<Mode, ModeRules>> = { 'two-phase-commit': twoPhaseCommit };
