// An operation: one call, sent again with the same token until its result is known or time is up.
import { sleep } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';
import { call } from './mesh.js';

/** What longer failovers take; shorter than the 30 s that k6 gives iterations at the end of a run. */
const GIVE_UP_MS = 20_000;
const FIRST_PAUSE_S = 0.1;
const LONGEST_PAUSE_S = 1;

/** From the first call to the known result, with all retries. */
const duration = new Trend('operation_duration', true);
/** Ended without a known result. */
const failed = new Rate('operation_failed');
/** Calls that were sent again. */
const retries = new Counter('operation_retries');

/**
 * @param name of the operation, for the metrics' tag
 * @param request carries what makes it safe to repeat: an id, or a session and a sequence
 * @returns {type: 'done', message, tries}; {type: 'refused', error}: surely not executed;
 *   {type: 'unknown', error}: it may have been executed
 */
export function operate(name, method, request) {
  const tags = { operation: name };
  const startMs = Date.now();
  let result;
  let pauseS = FIRST_PAUSE_S;
  for (let tries = 1; ; tries++) {
    const { message, error } = call(method, request);
    if (message) result = { type: 'done', message, tries };
    // A refusal says nothing about an earlier try that was lost.
    else if (!error.retry) result = { type: tries === 1 ? 'refused' : 'unknown', error };
    else if (Date.now() - startMs > GIVE_UP_MS) result = { type: 'unknown', error };
    if (result) break;
    retries.add(1, tags);
    sleep(pauseS * (0.5 + Math.random()));
    pauseS = Math.min(pauseS * 2, LONGEST_PAUSE_S);
  }
  duration.add(Date.now() - startMs, tags);
  failed.add(result.type !== 'done', tags);
  if (result.error) console.error(`${name} ${result.type}: ${result.error.message}`);
  return result;
}

/** The message of an operation that a run can't do without. @throws Error */
export function require(name, method, request) {
  const { message, error } = operate(name, method, request);
  if (error) throw new Error(`${name} failed: ${error.message}`);
  return message;
}
