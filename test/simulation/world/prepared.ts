/** Which branches were prepared from when to when, by what became durable. */

import { compareAttempts, type Attempt } from '../../../services/kernel/attempt.ts';
import { branchKey } from '../../../services/kernel/participant/keys.ts';
import type { BranchRecord, DoneRecord, PreparedRecord, ProgressRecord } from '../../../services/kernel/participant/types.ts';
import type { AnyTypes } from './commands.ts';
import type { DurableWrite, Follower, PutRecord } from './follower.ts';

type StoredBranch = BranchRecord<AnyTypes['effect']>;

export interface PreparedBranch {
  readonly service: string;
  readonly partition: number;
  readonly transactionId: string;
  readonly effect: AnyTypes['effect'];
  /** True times; until: Infinity while it is prepared. */
  readonly fromMs: number;
  untilMs: number;
}

/** One that is prepared now. */
interface Open {
  readonly branch: PreparedBranch;
  readonly coordinatorPartition: number;
  readonly attempt: Attempt;
  /** It has a record of its own; else it is in the pack of its batch, which counts only above the mark. */
  own: boolean;
}

export class Prepared implements Follower {
  /** All that ever were. */
  readonly branches: PreparedBranch[] = [];
  /** By partition and the key of a record of its own. */
  private readonly open = new Map<string, Map<string, Open>>();

  onWritten({ service: { name, kind }, partition, removed, puts, atMs }: DurableWrite): void {
    if (kind === 'coordinator') return;
    const open = this.openAt(name, partition);
    for (const record of puts) {
      for (const branch of branchesIn(record)) this.onBranch(open, name, partition, branch, record.key.startsWith('branch/'), atMs);
    }
    for (const { key, decode } of puts) {
      if (!key.startsWith('done/')) continue;
      for (const { coordinatorPartition, attempt } of (decode() as DoneRecord).ended) end(open, branchKey(coordinatorPartition, attempt), atMs);
    }
    // What ends when it may be forgotten at once goes without a word.
    for (const key of removed) end(open, key, atMs);
    const progress = puts.find(({ key }) => key === 'progress')?.decode() as ProgressRecord | undefined;
    for (const [key, { own, coordinatorPartition, attempt }] of open) {
      const mark = progress?.marks.find((one) => one.coordinatorPartition === coordinatorPartition)?.lowWaterMark;
      if (!own && mark !== undefined && compareAttempts(attempt, mark) < 0) end(open, key, atMs);
    }
  }

  /** Those of a partition that are prepared now. */
  *now(service: string, partition: number): Generator<PreparedBranch> {
    for (const { branch } of this.openAt(service, partition).values()) yield branch;
  }

  private openAt(service: string, partition: number): Map<string, Open> {
    const name = `${service}/${partition}`;
    let open = this.open.get(name);
    if (open === undefined) this.open.set(name, (open = new Map()));
    return open;
  }

  private onBranch(open: Map<string, Open>, service: string, partition: number, record: StoredBranch, own: boolean, atMs: number): void {
    const { transactionId, coordinatorPartition, attempt, effect, heuristic } = record;
    const key = branchKey(coordinatorPartition, attempt);
    const known = open.get(key);
    if (effect === undefined || heuristic !== undefined) end(open, key, atMs);
    else if (known !== undefined) known.own ||= own;
    else {
      const branch: PreparedBranch = { service, partition, transactionId, effect, fromMs: atMs, untilMs: Infinity };
      this.branches.push(branch);
      open.set(key, { branch, coordinatorPartition, attempt, own });
    }
  }
}

function* branchesIn({ key, decode }: PutRecord): Generator<StoredBranch> {
  if (key.startsWith('branch/')) yield decode() as StoredBranch;
  else if (key.startsWith('prepared/')) yield* (decode() as PreparedRecord<AnyTypes['effect']>).branches;
}

function end(open: Map<string, Open>, key: string, atMs: number): void {
  const found = open.get(key);
  if (found === undefined) return;
  found.branch.untilMs = atMs;
  open.delete(key);
}
