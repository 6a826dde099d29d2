// Money that moves between accounts at two participants.
import { conclude } from '../lib/audit.js';
import { Ledger } from '../lib/ledger.js';
import { below, newRunName } from '../lib/run.js';
import { create, execute, get, put, scan } from '../lib/transactions.js';

const ACCOUNTS = Number(__ENV.KEYS || 200);
const MONEY = 1000;
const PARTICIPANTS = ['inventory', 'payments'];

const transfers = new Ledger('transfers');

/** Opens the accounts of this run, in a collection of its own. */
function open() {
  const collection = newRunName();
  create(PARTICIPANTS.flatMap((participant) => {
    const accounts = Array.from({ length: ACCOUNTS }, (_, i) => i);
    return accounts.map((i) => put(participant, collection, `account-${i}`, { money: MONEY, payments: 0 }, { absent: true }));
  }));
  return { collection };
}

/** Moves some money from an account at one participant to one at the other. A conflict changes nothing. */
function transfer({ collection }) {
  const [from, to] = Math.random() < 0.5 ? PARTICIPANTS : [...PARTICIPANTS].reverse();
  const [payer, payee] = [from, to].map((participant) => ({ participant, key: `account-${below(ACCOUNTS)}` }));
  const [source, target] = [payer, payee].map(({ participant, key }) => get(participant, collection, key));
  if (!source || !target) return;
  const { money, payments } = source.value;
  transfers.write(1, () =>
    execute([
      put(payer.participant, collection, payer.key, { money: money - 1, payments: payments + 1 }, { version: source.version }),
      put(payee.participant, collection, payee.key, { ...target.value, money: target.value.money + 1 }, { version: target.version }),
    ]),
  );
}

/** Counts the money, and the payments: each that was committed has left its trace. */
function audit({ collection }) {
  const accounts = PARTICIPANTS.flatMap((participant) => scan(participant, collection));
  const sum = (field) => accounts.reduce((total, account) => total + account[field], 0);
  transfers.find(sum('payments'));
  conclude({ money: [sum('money'), MONEY * ACCOUNTS * PARTICIPANTS.length] });
}

export const transactions = {
  open,
  audit,
  flows: { transfer: { run: transfer, share: 1 } },
  timed: ['execute', 'get'],
  thresholds: transfers.thresholds,
};
