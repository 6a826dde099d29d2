/** What a term is made of, and who watches it; see term.ts. */

import type { Failure } from '../../kernel/failure.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Clock } from '../clock.ts';
import type { Store } from '../store/store.ts';

/** Whoever waits for the reply to a command. */
export interface Requester<Reply> {
  onReply(reply: Reply): void;
  onFailure(failure: Failure): void;
  /** On whose behalf; for traces. */
  readonly caller?: { readonly traceparent: string | undefined };
}

/** Between a kernel's records and the bytes in the store. */
export interface RecordCodec<Stored> {
  encode(record: Stored): Uint8Array;
  decode(key: string, bytes: Uint8Array): Stored;
}

/** Proof of leadership, counted on the leader's own monotonic clock. */
export interface Tenure {
  /** The election key, compared in every write. */
  readonly electionKey: string;
  /** Its create revision, the term's epoch. */
  readonly epoch: number;
  /** Whether the lease still surely holds. */
  isValid(): boolean;
}

/** Deliberate bugs that prove the simulation's checkers; never set outside of it. */
export type DriverBug =
  | 'release-before-durable'
  | 'unfenced-write'
  | 'ambiguous-taken-for-failure'
  | 'serve-without-lease'
  | 'read-before-durable';

/** One durable write of a batch. */
export interface BatchReport {
  /** Puts, deletes and range deletes. */
  readonly operations: number;
  readonly startMs: number;
  readonly endMs: number;
  /** Name of the fault that was injected on the way. */
  readonly fault?: string | undefined;
}

/** Watches a term, for traces and measurements. */
export interface TermObserver<Command> {
  /** A command is stepped; what is returned comes back when its batch is through. */
  stepped(command: Command): object | undefined;
  /** A batch is through. The report is absent if there was nothing to write. */
  through(stepped: readonly object[], report: BatchReport | undefined): void;
}

export interface TermOptions<Command, Stored, Reply, Message> {
  readonly store: Store;
  readonly clock: Clock;
  readonly kernel: Kernel<Command, Stored, Reply, Message>;
  readonly codec: RecordCodec<Stored>;
  /** Of all the partition's keys in the store; ends in '/'. */
  readonly keyPrefix: string;
  readonly tenure: Tenure;
  /** A number in [0, 1). */
  entropy(): number;
  send(message: Message): void;
  emit(event: unknown): void;
  /** The term has ended, for this reason. Called once. */
  onEnd(reason: string): void;
  readonly observer?: TermObserver<Command>;
  /** Most commands that may wait in each of the two queues. */
  readonly queueLimit?: number;
  readonly bugs?: ReadonlySet<DriverBug>;
}

/** Work is what clients ask for; control (phase 2, inquiries, marks, timers) goes before it. */
export type Priority = 'control' | 'work';
