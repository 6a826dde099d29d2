// The end of a run: what must be equal is.
import { Counter } from 'k6/metrics';

const wrongTotals = new Counter('wrong_totals');
const audits = new Counter('audits');

/** An audit that was not made, or not to its end, proves nothing. */
export const AUDITED = { wrong_totals: ['count==0'], audits: ['count==1'] };

/** @param totals what is equal to what, by names: {'money': [found, expected]} */
export function conclude(totals) {
  for (const [name, [found, expected]] of Object.entries(totals)) {
    const isEqual = found === expected;
    wrongTotals.add(isEqual ? 0 : 1);
    const text = `${name}: ${found}${isEqual ? '' : `, and should be ${expected}`}`;
    if (isEqual) console.log(text);
    else console.error(text);
  }
  audits.add(1);
}

/** How long the end may wait for what is still under way. */
export const AUDIT_MS = 120_000;

/**
 * Waits for a condition, for example that a backlog is empty, trying what brings it nearer.
 * @throws Error
 */
export function until(what, condition) {
  const endMs = Date.now() + AUDIT_MS;
  while (!condition()) if (Date.now() > endMs) throw new Error(`${what} took longer than ${AUDIT_MS} ms`);
}
