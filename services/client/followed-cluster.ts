/** The cluster's map, followed for as long as the connection is open. */

import { ClusterServiceService } from '../gen/txmesh/cluster/v1/cluster.ts';
import { backoffDelayMs, CONNECTION_BACKOFF } from './backoff.ts';
import { sleep, type Deadline } from './deadline.ts';
import { closedError, makeError, TxmeshError } from './errors.ts';
import type { Rpc } from './rpc.ts';
import { watch } from './watch.ts';

/** Between two warnings that the map is not followed, milliseconds. */
const WARNING_MS = 60_000;

export class FollowedCluster {
  private readonly rpc: Rpc;
  /** Addresses outside of the map that are still talked to. */
  private readonly inUse: () => Iterable<string>;
  private known = false;
  /** The first map, or why the present try was refused; then there is another try, and another promise. */
  private first = Promise.withResolvers<void>();
  /** Why the map is not known yet. */
  private lastError: TxmeshError | undefined;
  /** When the last warning was given, by the monotonic clock. */
  private warnedMs = -Infinity;

  constructor(rpc: Rpc, inUse: () => Iterable<string>) {
    this.rpc = rpc;
    this.inUse = inUse;
    this.first.promise.catch(() => undefined); // Whoever waits for it hears of it.
    void this.follow();
  }

  /** Whether the map is known. It may be an old one. */
  get isKnown(): boolean {
    return this.known;
  }

  /**
   * Resolves when the map is known.
   * @throws DeadlineExceeded if no server was reached in time
   * @throws what the server refuses it with; it is asked again, so the next call may go through
   */
  async ready(deadline: Deadline): Promise<void> {
    if (this.known) return;
    deadline.check();
    const { rpc } = this;
    const over = new AbortController();
    const ends = [over.signal, rpc.closed, ...(deadline.signal ? [deadline.signal] : [])];
    const late = sleep(rpc.environment.clock, deadline.leftMs, AbortSignal.any(ends));
    await Promise.race([this.first.promise, late]).finally(() => over.abort());
    if (this.known) return;
    if (rpc.closed.aborted) throw closedError();
    if (deadline.signal?.aborted) deadline.check();
    throw this.notReached();
  }

  /** Until the connection is closed. What a server refuses, it may refuse for a while only: a policy was wrong, a token old. */
  private async follow(): Promise<void> {
    const { rpc } = this;
    const { clock, entropy } = rpc.environment;
    for (let refusals = 0; !rpc.closed.aborted; ) {
      try {
        for await (const { cluster } of this.maps()) {
          if (cluster === undefined) continue;
          rpc.map.update(cluster);
          rpc.channels.keepOnly(new Set([...rpc.map.known, ...this.inUse()]));
          refusals = 0;
          this.known = true;
          this.first.resolve();
        }
      } catch (error) {
        if (rpc.closed.aborted) return;
        this.refused(error);
        const retryAfterMs = error instanceof TxmeshError ? error.retryAfterMs : undefined;
        await sleep(clock, backoffDelayMs(CONNECTION_BACKOFF, ++refusals, entropy(), retryAfterMs), rpc.closed);
      }
    }
  }

  private maps() {
    const { rpc } = this;
    return watch(rpc, {
      what: 'the watch of the cluster',
      signal: undefined,
      address: () => rpc.map.anyAddress(),
      open: (address) => rpc.stream(ClusterServiceService.watchCluster, {}, address),
      onRetry: (error) => (this.lastError = error),
    });
  }

  private refused(error: unknown): void {
    if (this.known) return this.warn(error);
    const { reject } = this.first;
    this.first = Promise.withResolvers();
    this.first.promise.catch(() => undefined);
    reject(error);
  }

  /** Nobody waits for the map any more, so nobody else hears of it. */
  private warn(error: unknown): void {
    const nowMs = this.rpc.environment.clock.monotonicMs();
    if (nowMs - this.warnedMs < WARNING_MS) return;
    this.warnedMs = nowMs;
    const words = error instanceof Error ? error.message : String(error);
    process.emitWarning(`the cluster's map can't be followed now and is asked for again; until then calls may take a hop more: ${words}`, 'TxmeshWarning');
  }

  private notReached(): TxmeshError {
    const { lastError, rpc } = this;
    const message = `none of ${rpc.map.known.join(', ')} could be reached in time${lastError === undefined ? '' : `; the last try: ${lastError.message}`}`;
    return makeError({ reason: 'DEADLINE_EXCEEDED', message, cause: lastError });
  }
}
