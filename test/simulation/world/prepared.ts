/** Which branches were prepared from when to when, by what became durable. */

import { branchKey } from '../../../services/kernel/participant/keys.ts';
import type { BranchRecord, DoneRecord } from '../../../services/kernel/participant/types.ts';
import type { AnyTypes } from './commands.ts';
import type { DurableWrite, Follower } from './follower.ts';

export interface PreparedBranch {
  readonly service: string;
  readonly partition: number;
  readonly transactionId: string;
  readonly effect: AnyTypes['effect'];
  /** True times; until: Infinity while it is prepared. */
  readonly fromMs: number;
  untilMs: number;
}

export class Prepared implements Follower {
  /** All that ever were. */
  readonly branches: PreparedBranch[] = [];
  private readonly open = new Map<string, PreparedBranch>();

  onWritten({ service: { name, kind }, partition, removed, puts, atMs }: DurableWrite): void {
    if (kind === 'coordinator') return;
    const nameOf = (key: string): string => `${name}/${partition}/${key}`;
    for (const { key, decode } of puts) {
      if (key.startsWith('branch/')) this.onBranch(name, partition, nameOf(key), decode() as BranchRecord<AnyTypes['effect']>, atMs);
      else if (key.startsWith('done/')) {
        for (const { coordinatorPartition, attempt } of (decode() as DoneRecord).ended) {
          this.end(nameOf(branchKey(coordinatorPartition, attempt)), atMs);
        }
      }
    }
    // One that has ended when it may be forgotten at once goes without a word.
    for (const key of removed) if (key.startsWith('branch/')) this.end(nameOf(key), atMs);
  }

  /** Those of a partition that are prepared now. */
  *now(service: string, partition: number): Generator<PreparedBranch> {
    for (const branch of this.open.values()) if (branch.service === service && branch.partition === partition) yield branch;
  }

  private onBranch(service: string, partition: number, name: string, record: BranchRecord<AnyTypes['effect']>, atMs: number): void {
    const { transactionId, effect, heuristic } = record;
    if (effect === undefined || heuristic !== undefined) return this.end(name, atMs);
    if (this.open.has(name)) return;
    const branch: PreparedBranch = { service, partition, transactionId, effect, fromMs: atMs, untilMs: Infinity };
    this.branches.push(branch);
    this.open.set(name, branch);
  }

  private end(name: string, atMs: number): void {
    const branch = this.open.get(name);
    if (branch === undefined) return;
    branch.untilMs = atMs;
    this.open.delete(name);
  }
}
