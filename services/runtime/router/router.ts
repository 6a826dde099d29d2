/**
 * Runs a unary request where its partition is led: here, or forwarded one hop. A forwarder that lost
 * the reply says that the outcome is unknown, and passes on what the leader itself said.
 */

import type { Failure } from '../../kernel/failure.ts';
import type { Clock } from '../clock.ts';
import { FailureError } from '../errors/failure-error.ts';
import type { Priority, Requester } from '../partition/term.ts';
import { StoreUnavailable } from '../store/errors.ts';
import type { Channels, Method } from '../transport/channels.ts';
import type { CallContext } from '../transport/service.ts';
import { call, deadlinePassed } from './call.ts';
import { noLeader, type LocalTerm, type Places } from './place.ts';

/** A request on its way to a partition. */
export interface Route<Request, Response> {
  readonly service: string;
  readonly partition: number;
  readonly method: Method<Request, Response>;
  readonly request: Request;
  readonly context: CallContext;
  /** Whether the request may change something; one that does not can be repeated whatever became of it. */
  readonly changes: boolean;
}

/** Handlers only read the store, so what failed there was not executed. */
const STORE_RETRY_MS = 500;

export interface RouterOptions<Term> {
  readonly places: Places<Term>;
  readonly channels: Pick<Channels, 'unary' | 'stream' | 'duplex'>;
  readonly clock: Clock;
  /** Why new work is not taken at the moment, for example because the store is nearly full. */
  refuseWork?(): Failure | undefined;
}

export class Router<Term extends LocalTerm<never>> {
  readonly places: Places<Term>;
  readonly channels: RouterOptions<Term>['channels'];
  readonly clock: Clock;

  private readonly options: RouterOptions<Term>;

  constructor(options: RouterOptions<Term>) {
    this.options = options;
    this.places = options.places;
    this.channels = options.channels;
    this.clock = options.clock;
  }

  /** Why new work is not taken at the moment; what is under way goes on. */
  refuseWork(): Failure | undefined {
    return this.options.refuseWork?.();
  }

  /** @throws FailureError if new work is not taken at the moment. */
  requireRoom(): void {
    const refusal = this.refuseWork();
    if (refusal !== undefined) throw new FailureError(refusal);
  }

  /** @throws FailureError */
  async unary<Request, Response>(
    route: Route<Request, Response>,
    serve: (term: Term) => Response | Promise<Response>,
  ): Promise<Response> {
    const { service, partition, context, changes } = route;
    const place = await this.places.find(service, partition, context);
    try {
      switch (place.type) {
        case 'local':
          return await serve(place.term);
        case 'remote':
          return await this.channels.unary(place.leader.address, route.method, route.request, {
            deadlineMs: context.deadlineMs,
            signal: context.signal,
            traceparent: context.traceparent,
            forwarded: true,
          });
        case 'nobody':
          throw new FailureError(noLeader(service, partition));
      }
    } catch (error) {
      if (error instanceof StoreUnavailable)
        throw new FailureError({ reason: 'NO_LEADER', message: `the store can't be reached: ${error.message}`, retryAfterMs: STORE_RETRY_MS }, { cause: error });
      if (!(error instanceof FailureError)) throw error;
      throw new FailureError(honest(error.failure, route, changes), { cause: error });
    }
  }

  /** One command to a term in this process, as {@link call}. Throws what the partition refuses. */
  async ask<Command, Reply extends { readonly type: string }, Type extends Reply['type']>(
    term: LocalTerm<Command, Reply>,
    type: Type,
    context: CallContext,
    changes: boolean,
    make: (origin: Requester<Reply>) => NoInfer<Command>,
    options: { readonly priority?: Priority; readonly cancel?: (origin: Requester<Reply>) => NoInfer<Command> } = {},
  ): Promise<Extract<Reply, { readonly type: Type }>> {
    const limits = { clock: this.clock, deadlineMs: context.deadlineMs, signal: context.signal, changes, caller: context };
    const settled = await call(term, make, options.priority ?? 'work', limits, options.cancel);
    if ('failure' in settled) throw new FailureError(settled.failure);
    const { reply } = settled;
    if (reply.type === 'failure') throw new FailureError((reply as unknown as { failure: Failure }).failure);
    if (reply.type !== type) throw new Error(`a partition answered ${reply.type} instead of ${type}`);
    return reply as Extract<Reply, { readonly type: Type }>;
  }
}

/** What may be said about a request that failed on its way. */
function honest(failure: Failure, { service, partition }: Pick<Route<never, never>, 'service' | 'partition'>, changes: boolean): Failure {
  if (failure.reason === 'DEADLINE_EXCEEDED') return deadlinePassed(changes);
  // What changes nothing was surely not executed, so that it can be tried again.
  if (failure.reason === 'OUTCOME_UNKNOWN' && !changes) return { ...noLeader(service, partition), message: `${failure.message}; try again` };
  return failure;
}
