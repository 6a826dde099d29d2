// Money that moves between two participants: whatever happens, its sum stays the same.
import { Counter } from 'k6/metrics';
import { execute, get, put, scan } from './mesh.js';

const ACCOUNTS = Number(__ENV.ACCOUNTS || 200);
const MONEY = 1000;
const PARTICIPANTS = ['inventory', 'payments'];

const wrongTotals = new Counter('wrong_totals');
const audits = new Counter('audits');

/** What must hold after every run, whatever the scenario. */
export const CORRECT = { wrong_totals: ['count==0'], audits: ['count==1'] };

/** Opens the accounts of this run, in a collection of its own. */
export function open() {
  const collection = `k6-${Date.now().toString(36)}`;
  for (let i = 0; i < ACCOUNTS; i++) {
    const operations = PARTICIPANTS.map((participant) => put(participant, collection, `account-${i}`, { money: MONEY }, { absent: true }));
    if (!execute(operations)) throw new Error(`account ${i} could not be opened`);
  }
  return { collection };
}

/** Moves some money from an account at one participant to one at the other. A conflict changes nothing. */
export function transfer({ collection }) {
  const [from, to] = Math.random() < 0.5 ? PARTICIPANTS : [...PARTICIPANTS].reverse();
  const [payer, payee] = [from, to].map((participant) => ({ participant, key: `account-${Math.floor(Math.random() * ACCOUNTS)}` }));
  const [source, target] = [payer, payee].map(({ participant, key }) => get(participant, collection, key));
  if (!source || !target) return;
  execute([
    put(payer.participant, collection, payer.key, { money: source.value.money - 1 }, { version: source.version }),
    put(payee.participant, collection, payee.key, { money: target.value.money + 1 }, { version: target.version }),
  ]);
}

/** Counts the money. */
export function audit({ collection }) {
  const money = PARTICIPANTS.flatMap((participant) => scan(participant, collection)).reduce((sum, account) => sum + account.money, 0);
  const expected = MONEY * ACCOUNTS * PARTICIPANTS.length;
  wrongTotals.add(money === expected ? 0 : 1);
  audits.add(1);
  if (money !== expected) console.error(`there is ${money}, and should be ${expected}`);
}
