/**
 * Consume, transform, produce, exactly once: a handler runs inside a transaction that also acknowledges
 * the message. If the transaction does not commit, nothing of it has happened and the message comes
 * again; if it does, the message is gone with it.
 */

import type { Span } from '@opentelemetry/api';
import { backoffDelayMs, CONNECTION_BACKOFF } from '../backoff.ts';
import { sleep } from '../deadline.ts';
import { cancelled, DeadlineExceeded, invalidRequest, OutcomeUnknown, Overloaded, TransactionAborted, TxmeshError, Unavailable } from '../errors.ts';
import type { Executor } from '../executor.ts';
import type { Rpc } from '../rpc.ts';
import { runTransaction, type TransactionOptions } from '../run-transaction.ts';
import { fail } from '../trace.ts';
import type { Transaction } from '../transaction.ts';
import { openConsumer, type ConsumeOptions } from './consume.ts';
import type { Consumer } from './consumer.ts';
import { inProcessSpan } from './messaging-spans.ts';
import type { ReceivedMessage } from './received-message.ts';

/** What is done with a message. It may run several times for one, so its effects belong into `tx`. */
export type MessageHandler = (message: ReceivedMessage, tx: Transaction) => Promise<void>;

export interface SubscribeOptions extends ConsumeOptions, Pick<TransactionOptions, 'timeoutMs'> {
  /** How often the handler may run because of conflicts before the message is given back. Default 100. */
  readonly attempts?: number;
  /** Ends it: nothing new is begun, and what is under way is finished. */
  readonly signal?: AbortSignal;
  /** Messages handled at a time. Default 10. As many again are fetched ahead: `maxMessages` is twice this by default. */
  readonly concurrency?: number;
  /**
   * How long to wait for handlers that run when it ends, by the signal or by an error, milliseconds; what they have
   * not finished by then is negatively acknowledged. Default 30,000.
   */
  readonly drainMs?: number;
  /**
   * Told whenever a message could not be handled, which is tried again: the handler's error, or the transaction's.
   * Default: a process warning.
   */
  readonly onError?: (error: unknown, message: ReceivedMessage) => void;
}

const DEFAULT_CONCURRENCY = 10;
/** More than elsewhere: a message that is given back because of conflicts is a step nearer to the dead letters. */
const DEFAULT_ATTEMPTS = 100;
const DEFAULT_DRAIN_MS = 30_000;

export async function subscribe(
  rpc: Rpc,
  executor: Executor,
  participant: string,
  name: string,
  handler: MessageHandler,
  options: SubscribeOptions,
): Promise<void> {
  const { concurrency = DEFAULT_CONCURRENCY, drainMs = DEFAULT_DRAIN_MS, signal } = options;
  if (!Number.isSafeInteger(concurrency) || concurrency < 1)
    throw invalidRequest(`concurrency is ${concurrency}; it must be a whole number from 1 on`, 'concurrency');
  if (!(drainMs >= 0)) throw invalidRequest(`drainMs is ${drainMs}; it must be a time in milliseconds, not negative`, 'drainMs');
  const ends = signal === undefined ? rpc.closed : AbortSignal.any([signal, rpc.closed]);
  if (ends.aborted) return;
  const { maxMessages = 2 * concurrency } = options;
  const opened = await openConsumer(rpc, participant, name, { ...options, maxMessages }).catch((error: unknown) => {
    if (!ends.aborted) throw error;
  });
  if (opened === undefined) return;
  const subscriber = new Subscriber(rpc, executor, opened.consumer, opened.subscription.topic, handler, options);
  await subscriber.run(concurrency, drainMs, ends);
}

class Subscriber {
  private readonly rpc: Rpc;
  private readonly executor: Executor;
  private readonly consumer: Consumer;
  private readonly topic: string;
  private readonly handler: MessageHandler;
  private readonly options: SubscribeOptions;
  /** Fires when the time to drain is over. */
  private readonly giveUp = new AbortController();

  constructor(rpc: Rpc, executor: Executor, consumer: Consumer, topic: string, handler: MessageHandler, options: SubscribeOptions) {
    this.rpc = rpc;
    this.executor = executor;
    this.consumer = consumer;
    this.topic = topic;
    this.handler = handler;
    this.options = options;
  }

  async run(concurrency: number, drainMs: number, ends: AbortSignal): Promise<void> {
    const { consumer } = this;
    const drained = new AbortController();
    let isStopping = false;
    const stop = (): void => {
      if (isStopping) return;
      isStopping = true;
      void consumer.stop();
      void sleep(this.rpc.environment.clock, drainMs, drained.signal).then(() => this.giveUp.abort(new Error(`${drainMs} ms were not enough to drain`)));
    };
    ends.addEventListener('abort', stop, { once: true });
    if (ends.aborted) stop();
    try {
      // Where one has failed, the others are given their time too: what made it fail is not to wait for a handler that hangs.
      const workers = Array.from({ length: concurrency }, () => this.work().finally(stop));
      for (const result of await Promise.allSettled(workers)) if (result.status === 'rejected') throw result.reason;
    } finally {
      ends.removeEventListener('abort', stop);
      drained.abort();
      await consumer.stop();
      consumer.close();
    }
  }

  /** Handles one message after the other. */
  private async work(): Promise<void> {
    for (;;) {
      const message = await this.consumer.next();
      if (message === undefined) return;
      await inProcessSpan(message, this.topic, (span) => this.handle(message, span));
    }
  }

  /** Sees to a message until it is settled, or left to its deadline. */
  private async handle(message: ReceivedMessage, span: Span): Promise<void> {
    for (let tries = 1; ; tries++) {
      const error = await this.tryOnce(message);
      if (error === undefined) return;
      fail(span, error);
      this.report(error, message);
      if (message.settled || message.expired) return;
      if (!isPassing(error) || this.giveUp.signal.aborted) return this.giveBack(message);
      // The mesh can't do it now. To give the message back would count against it.
      const { clock, entropy } = this.rpc.environment;
      await sleep(clock, backoffDelayMs(CONNECTION_BACKOFF, tries, entropy()), this.giveUp.signal);
    }
  }

  /** The reason if it did not work. Where the message is not settled then, nothing has happened. */
  private async tryOnce(message: ReceivedMessage): Promise<unknown> {
    try {
      await this.runHandler(message);
      return undefined;
    } catch (error) {
      if (isNotOurs(error)) return message.release();
      return error instanceof OutcomeUnknown ? this.settle(error, message) : (error ?? new Error('the handler threw nothing'));
    }
  }

  private async runHandler(message: ReceivedMessage): Promise<void> {
    const { attempts = DEFAULT_ATTEMPTS, timeoutMs } = this.options;
    let isTrivial = false;
    await runTransaction(
      this.rpc,
      this.executor,
      async (tx) => {
        await this.unlessGivenUp((async () => this.handler(message, tx))());
        isTrivial = tx.isTrivial;
        if (!isTrivial) tx.acknowledge(message);
      },
      { attempts, timeoutMs, signal: this.giveUp.signal },
    );
    if (isTrivial) await message.ack();
  }

  /** The handler's end, or that nobody waits for it any more. */
  private unlessGivenUp(handled: Promise<void>): Promise<void> {
    const { signal } = this.giveUp;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(cancelled(signal, 'the handler'));
      if (signal.aborted) onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      void handled.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    });
  }

  /** Settles an unknown outcome. The reason if it has not committed, or can't be settled. */
  private async settle(error: OutcomeUnknown, message: ReceivedMessage): Promise<unknown> {
    try {
      return (await error.settle({ signal: this.giveUp.signal })) ? message.committed() : (error.cause ?? error);
    } catch (unknown) {
      // The message is left to its deadline: if the transaction has committed, it does not come again.
      message.release();
      return unknown;
    }
  }

  private async giveBack(message: ReceivedMessage): Promise<void> {
    try {
      await message.nack();
    } catch (error) {
      // It comes again after its deadline.
      if (!(error instanceof TxmeshError)) throw error;
    }
  }

  private report(error: unknown, message: ReceivedMessage): void {
    const { onError } = this.options;
    if (onError !== undefined) return onError(error, message);
    const words = error instanceof Error ? error.message : String(error);
    process.emitWarning(`message ${message.id} of ${message.subscription} could not be handled and is tried again: ${words}`, 'TxmeshWarning');
  }
}

/** The message was acknowledged before, or was delivered to somebody else since: others see to it. */
function isNotOurs(error: unknown): boolean {
  return error instanceof TxmeshError && error.reason === 'ACK_EXPIRED';
}

/** The mesh could not do it now, and may do it later. A condition that does not hold, or a handler that is too slow, stays so. */
function isPassing(error: unknown): boolean {
  if (error instanceof TransactionAborted) return error.retryable && error.reason !== 'PRECONDITION_FAILED';
  if (error instanceof DeadlineExceeded) return error.cause instanceof TxmeshError;
  return error instanceof Unavailable || error instanceof Overloaded;
}
