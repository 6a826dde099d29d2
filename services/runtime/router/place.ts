/**
 * Where a request goes: to the partition's term in this process, or to the replica that leads it. A
 * request that was forwarded once stays where it arrives.
 */

import type { Failure } from '../../kernel/failure.ts';
import type { Clock } from '../clock.ts';
import type { ClusterView, Leader } from '../cluster/view.ts';
import type { Requester } from '../partition/term.ts';

/** What a handler needs of a term; see services/runtime/partition/term.ts. */
export interface LocalTerm<Command, Reply = unknown> {
  submit(command: Command, priority: 'control' | 'work'): void;
  readonly epoch: number;
  /** Whoever waits for a reply is gone and is not to hear anything any more. */
  forget(requester: Requester<Reply>): void;
}

export type Place<Term> =
  | { readonly type: 'local'; readonly term: Term }
  | { readonly type: 'remote'; readonly leader: Leader }
  | { readonly type: 'nobody' };

/** The longest that a request waits for a leader to be known, milliseconds. */
export const LEADER_WAIT_MS = 1000;
const RETRY_AFTER_MS = 250;

export interface PlacesOptions<Term> {
  readonly view: Pick<ClusterView, 'leader' | 'onChange'>;
  readonly clock: Clock;
  /** host:port of this replica. */
  readonly address: string;
  /** The term of a partition that is led here. */
  term(service: string, partition: number): Term | undefined;
}

export class Places<Term> {
  private readonly options: PlacesOptions<Term>;

  constructor(options: PlacesOptions<Term>) {
    this.options = options;
  }

  /** Where the partition is led, as far as this replica knows. */
  now(service: string, partition: number): Place<Term> {
    const { view, address } = this.options;
    const term = this.options.term(service, partition);
    if (term !== undefined) return { type: 'local', term };
    const leader = view.leader(service, partition);
    // A key of our own without a term is being taken or given up.
    return leader === undefined || leader.address === address ? { type: 'nobody' } : { type: 'remote', leader };
  }

  /**
   * Waits for a leader to be known: at most {@link LEADER_WAIT_MS}, until `deadlineMs` on the wall
   * clock, or until the signal aborts. A forwarded request finds a local term or nobody.
   */
  find(
    service: string,
    partition: number,
    limits: { readonly forwarded: boolean; readonly deadlineMs?: number; readonly signal?: AbortSignal },
  ): Place<Term> | Promise<Place<Term>> {
    const { forwarded, deadlineMs = Infinity, signal } = limits;
    const look = (): Place<Term> => {
      const place = this.now(service, partition);
      return forwarded && place.type === 'remote' ? { type: 'nobody' } : place;
    };
    const first = look();
    if (first.type !== 'nobody' || forwarded) return first;
    const { view, clock } = this.options;
    const waitMs = Math.min(LEADER_WAIT_MS, deadlineMs - clock.nowMs());
    if (waitMs <= 0 || signal?.aborted) return first;
    return new Promise((resolve) => {
      const settle = (place: Place<Term>): void => {
        timer.cancel();
        unsubscribe();
        signal?.removeEventListener('abort', giveUp);
        resolve(place);
      };
      const giveUp = (): void => settle(look());
      const timer = clock.setTimer(waitMs, giveUp);
      const unsubscribe = view.onChange(() => {
        const place = look();
        if (place.type !== 'nobody') settle(place);
      });
      signal?.addEventListener('abort', giveUp);
    });
  }
}

export function noLeader(service: string, partition: number): Failure {
  return {
    reason: 'NO_LEADER',
    message: `no replica is known to lead partition ${partition} of ${service}; try again`,
    metadata: { service, partition: String(partition) },
    retryAfterMs: RETRY_AFTER_MS,
  };
}
