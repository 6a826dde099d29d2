/**
 * What a kernel is: a pure state machine that decides, for one partition, what becomes durable, what
 * is answered and what is sent. No I/O, no clock, no randomness: time and entropy come in with every
 * step. The partition driver (services/runtime/partition) runs it, writes a batch of its decisions in
 * one conditional write, and only then lets replies and messages out (invariant P1).
 */

/** Time and chance of one step. */
export interface StepInput {
  /** Wall time, milliseconds since 1970. May jump; nothing that must be right depends on it. */
  readonly nowMs: number;
  /** A number in [0, 1) for jitter. */
  readonly entropy: number;
}

/** Who asked. Opaque to the kernel, which only hands it back with the reply. */
export type Origin = unknown;

/** Upper bound of what stepping a command may write, so that a batch stays within the store's limits. */
export interface Cost {
  /** Operations: puts, deletes and range deletes. */
  readonly operations: number;
  /** Bytes of keys and encoded records. */
  readonly bytes: number;
}

/** The keys from `from` (included) to `to` (excluded). */
export interface KeyRange {
  readonly from: string;
  readonly to: string;
}

/** Takes what a kernel decides. Writes are in terms of the partition's own keys. */
export interface Output<Command, Stored, Reply, Message> {
  /** Creates or replaces a record. */
  put(key: string, record: Stored): void;
  /** Removes a record. */
  remove(key: string): void;
  /** Removes the records from `from` (included) to `to` (excluded). */
  removeRange(from: string, to: string): void;
  /** Answers a command, at most once for each origin. */
  reply(to: Origin, reply: Reply): void;
  /** Sends a message to another partition; it may be lost, copied, late and out of order. */
  send(message: Message): void;
  /** Publishes an event to watchers: in order, after it is durable. */
  emit(event: unknown): void;
  /**
   * Steps another command of the kernel's own making, before any that is queued, possibly in a
   * later batch. For work that a step sets free, whose writes are beyond that step's {@link Cost}.
   */
  follow(command: Command): void;
  /** A later leader was heard of (an epoch above the kernel's own): this term must end (invariant P5). */
  stepDown(reason: string): void;
}

/**
 * One partition's state machine. `Command` is what may happen to it, `Stored` its durable records,
 * `Reply` its answers, `Message` what it sends to other partitions.
 *
 * The driver calls, in this order: {@link recovery} until there is nothing more to load, with
 * {@link recover} for every record found, in key order; {@link lead} once; then batches: {@link missing} and {@link admit} for each command, {@link step} for each that
 * fits, {@link seal} once.
 */
export interface Kernel<Command, Stored, Reply, Message> {
  /**
   * What to load next when a term starts: a range or a list of keys; undefined when the active
   * records are complete (all others are loaded on demand). Called again after every load, so that
   * one record can tell where the next ones are.
   */
  recovery(): KeyRange | readonly string[] | undefined;
  /** Takes one durable record at the start of a term. */
  recover(key: string, record: Stored): void;
  /** All active records were recovered; the term begins under this epoch. */
  lead(epoch: number, input: StepInput, out: Output<Command, Stored, Reply, Message>): void;
  /**
   * Keys of records that must be admitted before the command may be stepped; empty if none.
   * A key that was admitted stays known until the next {@link seal} at least.
   */
  missing(command: Command): readonly string[];
  /** Takes one record that was asked for; undefined if the store has none. */
  admit(key: string, record: Stored | undefined): void;
  /** Upper bound of what stepping this command now may write. */
  cost(command: Command): Cost;
  /**
   * Whether nobody waits for what the command does, so that it may be held back for a moment to share
   * a write with others. Asked when it comes; what else waits by then has been stepped, or is queued.
   */
  canWait(command: Command): boolean;
  /** The one place where something happens. */
  step(command: Command, input: StepInput, out: Output<Command, Stored, Reply, Message>): void;
  /**
   * Ends a batch: adds the records that are written once per batch (at most {@link sealCost}), and
   * drops what caches hold too much of. Called only if something was stepped.
   */
  seal(input: StepInput, out: Output<Command, Stored, Reply, Message>): void;
  /** Upper bound of what {@link seal} may add to a batch. */
  readonly sealCost: Cost;
  /** The command that a due timer stands for. */
  readonly tick: Command;
  /** The command that ends the waits of those who only wait, when the term is handed over; undefined if there are none. */
  readonly retire: Command | undefined;
  /** Wall time in milliseconds at which {@link tick} wants to be stepped; undefined: never. */
  wakeAtMs(): number | undefined;
  /**
   * The durable part of the state, comparable by deep equality: what is in memory after a batch must
   * be what recovering the store's records would give (invariant P3). For tests.
   */
  durableState(): unknown;
}
