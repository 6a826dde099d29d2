/** Names of counters and counter services. */

import { LIMITS } from '../../kernel/counter/types.ts';
import { both, notEmpty, textUpTo, type Rule } from '../../runtime/router/rules.ts';

/** The counter service of requests that name none. */
export const DEFAULT_SERVICE = 'counter';

export const noControlCharacters: Rule<string> = (value, path, found) => {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return found.add(path, `must not have control characters, has one at ${i}`);
  }
};

export const counterName: Rule<string> = both(notEmpty, textUpTo(LIMITS.nameBytes), noControlCharacters);
