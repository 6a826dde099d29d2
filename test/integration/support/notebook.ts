/** A user's own participant whose commit fails or takes its time as the test says, and notes every call. */

import { randomUUID } from 'node:crypto';
import type { Branch, Mark, ResourceManager } from 'txmesh/participant';

export class Notebook implements ResourceManager {
  /** Moments at which commit was called, by performance.now(). */
  readonly commitCalls: number[] = [];
  /** How often each transaction took effect. */
  readonly applied = new Map<string, number>();
  /** What commit does before it takes effect. */
  beforeCommit: () => Promise<void> = () => Promise.resolve();
  /** What prepare does before it votes. */
  beforePrepare: () => Promise<void> = () => Promise.resolve();
  private readonly prepared = new Map<string, Branch>();
  private readonly committed = new Map<string, Branch>();
  private marks: Mark[] = [];

  async prepare(branch: Branch): Promise<'yes'> {
    await this.beforePrepare();
    this.prepared.set(branch.transactionId, branch);
    return 'yes';
  }

  async commit(branch: Branch): Promise<void> {
    this.commitCalls.push(performance.now());
    await this.beforeCommit();
    this.applied.set(branch.transactionId, (this.applied.get(branch.transactionId) ?? 0) + 1);
    this.prepared.delete(branch.transactionId);
    this.committed.set(branch.transactionId, branch);
  }

  abort(branch: Branch): void {
    this.prepared.delete(branch.transactionId);
  }

  recover() {
    return { prepared: [...this.prepared.values()], committed: [...this.committed.values()], marks: this.marks };
  }

  forget(mark: Mark): void {
    this.marks = [...this.marks.filter(({ coordinatorPartition }) => coordinatorPartition !== mark.coordinatorPartition), mark];
  }
}

/** Work for it: what it means is nobody's business. */
export function note(participant: string) {
  return { participant, routingKey: randomUUID(), operation: { typeUrl: 'type.googleapis.com/google.protobuf.Empty', value: new Uint8Array() } };
}
