/** A coordinator partition's log of decisions in the store, read for watchers. */

import type { TransactionEvent, TransactionView } from '../../kernel/coordinator/types.ts';
import { LOG_PREFIX, PROGRESS_KEY, logKey, logSequence } from '../../kernel/coordinator/journal.ts';
import { recordView } from '../../kernel/coordinator/records.ts';
import { TRANSACTION_PREFIX } from '../../kernel/coordinator/state.ts';
import type { Decision, LogRecord, Stored } from '../../kernel/coordinator/types.ts';
import { partitionPrefix } from '../../runtime/cluster/keys.ts';
import { COORDINATOR } from '../../runtime/cluster/view.ts';
import { prefixRange } from '../../runtime/store/store.ts';
import type { CoordinatorServices } from './service.ts';

/** Log records that are read at a time. */
const PAGE = 64;

/** The decisions of one batch. */
export interface LoggedBatch {
  readonly sequence: number;
  readonly events: readonly TransactionEvent[];
}

export class DecisionLog {
  private readonly services: Pick<CoordinatorServices, 'store' | 'codec' | 'view'>;
  private readonly prefix: string;

  constructor(services: Pick<CoordinatorServices, 'store' | 'codec' | 'view'>, partition: number) {
    this.services = services;
    this.prefix = partitionPrefix(COORDINATOR, partition);
  }

  /**
   * The last durable batch, and the one before the oldest that can be told. 0: none yet. What was decided
   * before the cluster was restored can't: who watched has seen it, and more that is gone (invariant P10).
   */
  async bounds(): Promise<{ readonly compacted: number; readonly last: number }> {
    const { store, view } = this.services;
    const range = prefixRange(this.prefix + LOG_PREFIX);
    const [first, last, [progress]] = await Promise.all([
      store.scan(range, { limit: 1, keysOnly: true }),
      store.scan(range, { limit: 1, keysOnly: true, reverse: true }),
      store.get([this.prefix + PROGRESS_KEY]),
    ]);
    // The log is never compacted beyond what progress says is finished.
    const finished = progress === undefined ? undefined : this.decode(PROGRESS_KEY, progress);
    const through = Math.max(finished?.type === 'progress' ? finished.finishedThrough : 0, view.numbersAbove);
    const [firstEntry] = first.entries;
    const [lastEntry] = last.entries;
    if (firstEntry === undefined || lastEntry === undefined) return { compacted: through, last: through };
    const compacted = Math.max(this.sequenceOf(firstEntry.key) - 1, view.numbersAbove);
    return { compacted, last: Math.max(this.sequenceOf(lastEntry.key), compacted) };
  }

  /** The next batches after a sequence number, each with its decisions about the transaction, or all. */
  async readAfter(sequence: number, transactionId: string | undefined): Promise<readonly LoggedBatch[]> {
    const { store } = this.services;
    const range = { from: this.prefix + logKey(sequence + 1), to: prefixRange(this.prefix + LOG_PREFIX).to };
    const { entries } = await store.scan(range, { limit: PAGE });
    const logs = entries.map(({ key, value }) => {
      const record = this.decode(key.slice(this.prefix.length), value) as LogRecord;
      const decisions = record.decisions.filter((decision) => transactionId === undefined || decision.transactionId === transactionId);
      return { sequence: this.sequenceOf(key), timeMs: record.timeMs, decisions };
    });
    const views = await this.views(logs.flatMap(({ decisions }) => decisions));
    return logs.map((log) => ({
      sequence: log.sequence,
      events: log.decisions.map((decision) => ({
        type: decision.outcome === 'commit' ? 'commit' : 'fail',
        transaction: views.get(decision.transactionId)!,
        timeMs: log.timeMs,
        sequence: log.sequence,
      })),
    }));
  }

  /** From the records where they are kept; the log may be kept longer. */
  private async views(decisions: readonly Decision[]): Promise<Map<string, TransactionView>> {
    const keys = decisions.map(({ transactionId }) => TRANSACTION_PREFIX + transactionId);
    const values = keys.length === 0 ? [] : await this.services.store.get(keys.map((key) => this.prefix + key));
    return new Map(
      decisions.map((decision, i) => {
        const value = values[i];
        const record = value === undefined ? undefined : this.decode(keys[i]!, value);
        const view = record?.type === 'transaction' ? recordView(decision.transactionId, record, false) : bareView(decision);
        return [decision.transactionId, view];
      }),
    );
  }

  private decode(key: string, value: Uint8Array): Stored {
    return this.services.codec.decode(key, value);
  }

  private sequenceOf(key: string): number {
    return logSequence(key.slice(this.prefix.length));
  }
}

function bareView({ transactionId, outcome, attempt }: Decision): TransactionView {
  const state = outcome === 'commit' ? 'COMMITTED' : 'ABORTED';
  return { transactionId, state, mode: 'two-phase-commit', attempt, branches: [], mixed: false };
}
