/**
 * A bank whose accounts lie at two participants. Accounts form households, money only moves within
 * one, so each household's sum never changes and can be checked while transfers run. Every transfer
 * writes a receipt of its own in the same transaction: a receipt that is missing is a lost transfer, one
 * that is there though its transfer was refused is half a transfer.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { json, newTransactionId, OutcomeUnknown, put, TransactionAborted, TxmeshError, type Mesh } from 'txmesh/client';

const HOUSEHOLDS = 12;
const MONEY = 1_000;
const PARTICIPANTS = ['inventory', 'payments'] as const;
const RETRY_MS = 50;
const SETTLE_BOUND_MS = 60_000;

type Account = { readonly participant: (typeof PARTICIPANTS)[number]; readonly key: string };

const ALL: readonly (readonly Account[])[] = Array.from({ length: HOUSEHOLDS }, (_, household) =>
  PARTICIPANTS.flatMap((participant) => [0, 1].map((i) => ({ participant, key: `household-${household}/${i}` }))),
);
const HOUSEHOLD_MONEY = MONEY * ALL[0]!.length;

type Money = { readonly money: number };

export class Bank {
  /** Receipts of transfers that were told to be committed, with when, by performance.now(). */
  readonly acknowledged = new Map<string, number>();
  /** Receipts of transfers that were told never to take effect. */
  readonly refused = new Set<string>();
  /** How many outcomes were unknown at first. */
  unknown = 0;
  /** How many households were seen whole while transfers ran. */
  audits = 0;
  /** What must never happen, in words. */
  readonly violations: string[] = [];
  /** Errors that say that a transfer was not executed, by reason. */
  readonly errors = new Map<string, number>();
  private readonly mesh: Mesh;
  private readonly stopping = new AbortController();
  private workers: Promise<void>[] = [];

  constructor(mesh: Mesh) {
    this.mesh = mesh;
  }

  async open(): Promise<void> {
    for (const household of ALL) {
      const operations = household.map(({ participant, key }) => put(participant, 'accounts', key, json({ money: MONEY })));
      const outcome = await this.mesh.execute({ operations });
      if (!outcome.committed) throw outcome.cause;
    }
  }

  run(workers: number): void {
    this.workers = Array.from({ length: workers }, (_, i) => this.work(i % 2 === 0 ? this.transferBySdk : this.transferByExecute));
    this.workers.push(this.work(() => this.audit()));
  }

  /** Resolves when every transfer under way has a known outcome. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.workers);
  }

  /** Transfers a second since the moment. */
  rate(sinceMs: number, nowMs: number = performance.now()): number {
    let count = 0;
    for (const atMs of this.acknowledged.values()) if (atMs >= sinceMs && atMs < nowMs) count++;
    return (count * 1000) / (nowMs - sinceMs);
  }

  /** The longest time without an acknowledged transfer between two moments. */
  longestGapMs(fromMs: number, toMs: number): number {
    const times = [...this.acknowledged.values()].filter((atMs) => atMs >= fromMs && atMs <= toMs).sort((a, b) => a - b);
    let longest = 0;
    let last = fromMs;
    for (const atMs of [...times, toMs]) {
      longest = Math.max(longest, atMs - last);
      last = atMs;
    }
    return longest;
  }

  /** When no transfer runs any more: all money is there, every receipt that must be, and none that must not. */
  async check(): Promise<void> {
    let total = 0;
    for (const participant of PARTICIPANTS) {
      const keys = ALL.flat().filter((account) => account.participant === participant).map(({ key }) => key);
      const entries = await this.mesh.keyValue(participant).collection('accounts').batchGet(keys, { consistency: 'serializable' });
      for (const entry of entries) total += entry!.json<Money>().money;
    }
    if (total !== HOUSEHOLD_MONEY * HOUSEHOLDS) this.violations.push(`the total is ${total}, not ${HOUSEHOLD_MONEY * HOUSEHOLDS}`);
    const receipts = new Set<string>();
    for await (const { key } of this.mesh.keyValue('payments').collection('receipts').scan({ pageSize: 1000 })) receipts.add(key);
    for (const receipt of this.acknowledged.keys())
      if (!receipts.delete(receipt)) this.violations.push(`the acknowledged transfer ${receipt} is lost`);
    for (const receipt of receipts)
      this.violations.push(`the transfer ${receipt} took effect, but was told to be ${this.refused.has(receipt) ? 'refused' : 'nothing'}`);
  }

  private async work(step: (receipt: string) => Promise<boolean>): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const receipt = randomUUID();
      try {
        if (await step.call(this, receipt)) this.acknowledged.set(receipt, performance.now());
      } catch (error) {
        if (!(error instanceof TxmeshError)) throw error;
        if (error instanceof OutcomeUnknown) await this.settle(receipt, error);
        else {
          this.refused.add(receipt);
          this.errors.set(error.reason, (this.errors.get(error.reason) ?? 0) + 1);
          await pause(RETRY_MS);
        }
      }
    }
  }

  private async settle(receipt: string, unknown: OutcomeUnknown): Promise<void> {
    this.unknown++;
    const endMs = performance.now() + SETTLE_BOUND_MS;
    for (;;) {
      try {
        if (await unknown.settle()) this.acknowledged.set(receipt, performance.now());
        else this.refused.add(receipt);
        return;
      } catch (error) {
        if (performance.now() > endMs) {
          this.violations.push(`the outcome of ${receipt} (transaction ${unknown.transactionId}) could not be settled: ${String(error)}`);
          return;
        }
        await pause(RETRY_MS);
      }
    }
  }

  private async transferBySdk(receipt: string): Promise<boolean> {
    const [from, to, amount] = choose();
    await this.mesh.transaction(async (tx) => {
      const [source, target] = await Promise.all([from, to].map(({ participant, key }) => tx.get(participant, 'accounts', key)));
      tx.put(from.participant, 'accounts', from.key, json({ money: source!.json<Money>().money - amount }));
      tx.put(to.participant, 'accounts', to.key, json({ money: target!.json<Money>().money + amount }));
      tx.put('payments', 'receipts', receipt, '', { precondition: 'absent' });
    });
    return true;
  }

  /** The same with versions and an id of our own; the id is sent once more, as a careless client would. */
  private async transferByExecute(receipt: string): Promise<boolean> {
    const [from, to, amount] = choose();
    const entries = await Promise.all(
      [from, to].map(({ participant, key }) => this.mesh.keyValue(participant).collection('accounts').get(key)),
    );
    const operations = [from, to].map(({ participant, key }, i) => {
      const entry = entries[i]!;
      const money = entry.json<Money>().money + (i === 0 ? -amount : amount);
      return put(participant, 'accounts', key, json({ money }), { precondition: { version: entry.version } });
    });
    operations.push(put('payments', 'receipts', receipt, '', { precondition: 'absent' }));
    const request = { transactionId: newTransactionId(), operations };
    const outcome = await this.mesh.execute(request);
    const again = await this.mesh.execute(request).catch((error: unknown) => {
      if (error instanceof TxmeshError) return outcome;
      throw error;
    });
    if (again.committed !== outcome.committed) this.violations.push(`${request.transactionId} had two outcomes`);
    if (!outcome.committed) throw outcome.cause;
    return true;
  }

  /** All accounts of a household as they were at one moment. */
  private async audit(): Promise<boolean> {
    const household = ALL[Math.floor(Math.random() * HOUSEHOLDS)]!;
    let total = 0;
    try {
      await this.mesh.transaction(async (tx) => {
        const entries = await Promise.all(household.map(({ participant, key }) => tx.get(participant, 'accounts', key)));
        total = entries.reduce((sum, entry) => sum + entry!.json<Money>().money, 0);
      });
    } catch (error) {
      if (error instanceof TransactionAborted || error instanceof OutcomeUnknown) return false;
      throw error;
    }
    this.audits++;
    if (total !== HOUSEHOLD_MONEY) this.violations.push(`a household was seen with ${total}, not ${HOUSEHOLD_MONEY}`);
    return false;
  }
}

function choose(): [from: Account, to: Account, amount: number] {
  const household = ALL[Math.floor(Math.random() * HOUSEHOLDS)]!;
  const from = Math.floor(Math.random() * household.length);
  const to = (from + 1 + Math.floor(Math.random() * (household.length - 1))) % household.length;
  return [household[from]!, household[to]!, 1 + Math.floor(Math.random() * 5)];
}
