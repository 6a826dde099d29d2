// Adds to a counter of each kind.
import { sleep } from 'k6';
import { conclude, until } from '../lib/audit.js';
import { createCounter, deleteCounter, read, add } from '../lib/counters.js';
import { Session } from '../lib/ids.js';
import { Ledger } from '../lib/ledger.js';
import { below, newRunName } from '../lib/run.js';

const KINDS = ['strong', 'sharded', 'queued', 'replicated'];
const LARGEST = 10;
const READS = 0.1;

const ledgers = KINDS.map((kind) => new Ledger(`adds_${kind}`));
const session = new Session();

const nameOf = (run, kind) => `${run}-${kind}`;

function open() {
  const run = newRunName();
  for (const kind of KINDS) createCounter(nameOf(run, kind), kind);
  return { run };
}

/** Adds to one of the counters, and sometimes reads it. */
function count({ run }) {
  const which = below(KINDS.length);
  const name = nameOf(run, KINDS[which]);
  const amount = 1 + below(LARGEST);
  ledgers[which].write(amount, () => add(name, amount, session.next()));
  if (Math.random() < READS) read(name);
}

function audit({ run }) {
  KINDS.forEach((kind, which) => {
    const name = nameOf(run, kind);
    let value = read(name);
    until('to roll up what was added', () => {
      value = read(name);
      if (value === undefined) return false;
      if (value.pendingAdds === 0) return true;
      sleep(0.1);
      return false;
    });
    ledgers[which].find(value.value);
    deleteCounter(name);
  });
  conclude({});
}

export const counter = {
  open,
  audit,
  flows: { add: { run: count, share: 1 } },
  timed: ['add', 'read'],
  thresholds: Object.assign({}, ...ledgers.map(({ thresholds }) => thresholds)),
};
