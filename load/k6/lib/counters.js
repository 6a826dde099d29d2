// Counters that belong to a run.
import { operate, require } from './operate.js';

const COUNTER = 'txmesh.counter.v1.CounterService';

/** @param kind strong, sharded, queued or replicated */
export const createCounter = (counter, kind) => require('create', `${COUNTER}/CreateCounter`, { counter, kind: `KIND_${kind.toUpperCase()}` });

export const deleteCounter = (counter) => require('delete', `${COUNTER}/DeleteCounter`, { counter });

/** 'done', 'not done' or 'unknown'. */
export function add(counter, amount, { session, sequence }) {
  const token = { session, sequence, settledBelow: sequence };
  const { type } = operate('add', `${COUNTER}/Add`, { counter, amount: String(amount), token });
  return type === 'refused' ? 'not done' : type;
}

/** {value, pendingAdds}, or undefined where it can't be read. */
export function read(counter) {
  const { message } = operate('read', `${COUNTER}/Get`, { counter });
  return message && { value: Number(message.value.value), pendingAdds: Number(message.value.pendingAdds || 0) };
}
