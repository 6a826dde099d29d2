/** Which branches were prepared from when to when, by what became durable. */

import type { Attempt } from '../../../services/kernel/attempt.ts';
import type { BranchRecord, DoneRecord } from '../../../services/kernel/participant/types.ts';
import type { AnyTypes } from './commands.ts';
import type { DurableWrite, Follower } from './durable.ts';

export interface PreparedBranch {
  readonly service: string;
  readonly partition: number;
  readonly transactionId: string;
  readonly effect: AnyTypes['effect'];
  /** True times; until: Infinity while it is prepared. */
  readonly fromMs: number;
  untilMs: number;
  outcome: 'committed' | 'aborted' | undefined;
}

export class Prepared implements Follower {
  /** All that ever were. */
  readonly branches: PreparedBranch[] = [];
  private readonly open = new Map<string, PreparedBranch>();

  onWritten({ service: { name, kind }, partition, puts, atMs }: DurableWrite): void {
    if (kind === 'coordinator') return;
    for (const { key, decode } of puts) {
      if (key.startsWith('branch/')) this.onBranch(name, partition, decode() as BranchRecord<AnyTypes['effect']>, atMs);
      else if (key.startsWith('done/')) {
        for (const { coordinatorPartition, attempt, outcome } of (decode() as DoneRecord).ended) {
          this.end(keyOf(name, partition, coordinatorPartition, attempt), outcome, atMs);
        }
      }
    }
  }

  /** Those of a partition that are prepared now. */
  *now(service: string, partition: number): Generator<PreparedBranch> {
    for (const branch of this.open.values()) if (branch.service === service && branch.partition === partition) yield branch;
  }

  private onBranch(service: string, partition: number, record: BranchRecord<AnyTypes['effect']>, atMs: number): void {
    const { transactionId, coordinatorPartition, attempt, effect, heuristic } = record;
    const key = keyOf(service, partition, coordinatorPartition, attempt);
    if (effect === undefined || heuristic !== undefined) return this.end(key, undefined, atMs);
    if (this.open.has(key)) return;
    const branch: PreparedBranch = { service, partition, transactionId, effect, fromMs: atMs, untilMs: Infinity, outcome: undefined };
    this.branches.push(branch);
    this.open.set(key, branch);
  }

  private end(key: string, outcome: PreparedBranch['outcome'], atMs: number): void {
    const branch = this.open.get(key);
    if (branch === undefined) return;
    branch.untilMs = atMs;
    branch.outcome = outcome;
    this.open.delete(key);
  }
}

function keyOf(service: string, partition: number, coordinatorPartition: number, { epoch, counter }: Attempt): string {
  return `${service}/${partition}/${coordinatorPartition}/${epoch}/${counter}`;
}
