import type { Cost, Origin, Output } from '../../kernel/kernel.ts';
import type { Range, WriteLimits } from '../store/store.ts';

/** What leaves a partition once a batch is durable (invariant P1). */
export type Release<Reply, Message> =
  | { readonly type: 'reply'; readonly to: Origin; readonly reply: Reply }
  | { readonly type: 'message'; readonly message: Message }
  | { readonly type: 'event'; readonly event: unknown };

/**
 * Collects what a kernel decides until it is written: the last record put under a key wins, and a key
 * is named once. Counts upper bounds so that the batch stays within the store's limits (invariant P9).
 */
export class Batch<Command, Stored, Reply, Message> implements Output<Command, Stored, Reply, Message> {
  readonly records = new Map<string, Stored | undefined>();
  readonly ranges: Range[] = [];
  readonly releases: Release<Reply, Message>[] = [];
  readonly follows: Command[] = [];
  /** What the term's observer returned for the commands of this batch. */
  readonly observed: object[] = [];
  /** How many commands were stepped into it. */
  commands = 0;
  stepDownReason: string | undefined;
  private readonly limits: WriteLimits;
  private bytes = 0;

  constructor(limits: WriteLimits) {
    this.limits = limits;
  }

  /** Whether a step or seal of this cost still fits. */
  fits(cost: Cost, reserve: Cost): boolean {
    return (
      this.records.size + this.ranges.length + cost.operations + reserve.operations <= this.limits.operations &&
      this.bytes + cost.bytes + reserve.bytes <= this.limits.bytes
    );
  }

  charge(cost: Cost): void {
    this.bytes += cost.bytes;
  }

  get writes(): boolean {
    return this.records.size > 0 || this.ranges.length > 0;
  }

  put(key: string, record: Stored): void {
    this.records.set(key, record);
  }

  remove(key: string): void {
    this.records.set(key, undefined);
  }

  removeRange(from: string, to: string): void {
    for (const key of this.records.keys()) if (key >= from && key < to) this.records.delete(key);
    this.ranges.push({ from, to });
  }

  reply(to: Origin, reply: Reply): void {
    if (to !== undefined) this.releases.push({ type: 'reply', to, reply });
  }

  send(message: Message): void {
    this.releases.push({ type: 'message', message });
  }

  emit(event: unknown): void {
    this.releases.push({ type: 'event', event });
  }

  follow(command: Command): void {
    this.follows.push(command);
  }

  stepDown(reason: string): void {
    this.stepDownReason ??= reason;
  }
}
