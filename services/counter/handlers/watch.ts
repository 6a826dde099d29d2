/**
 * Watch: partitions tell which counters have changed, and their values are read again, at most once
 * in so many milliseconds: whatever changes how often, a watcher gets the newest.
 */

import type { CounterValue, WatchedCounter, WatchRequest, WatchResponse } from '../../gen/txmesh/counter/v1/counter.ts';
import { Consistency } from '../../gen/txmesh/counter/v1/counter.ts';
import {
  CounterPartitionServiceService,
  type WatchPartitionRequest,
  type WatchPartitionResponse,
} from '../../gen/txmesh/counter/v1/counter_partition.ts';
import { delay } from '../../runtime/clock.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { validate } from '../../runtime/participant/service.ts';
import { follow, merge } from '../../runtime/router/follow.ts';
import { list, message, partitionNumber, serviceName } from '../../runtime/router/rules.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { counterName } from './names.ts';
import { counterService, type CounterServices, type CounterTerm } from './service.ts';
import { LIMITS, watchRequest } from './validate.ts';
import type { Values } from './values.ts';

/** The least time between two answers, milliseconds. */
const COALESCE_MS = 100;
/** Values are read again after a failure that may pass, and now and then in any case, milliseconds. */
const READ_AGAIN_MS = 5_000;

export async function* watchCounters(services: CounterServices, values: Values, request: WatchRequest, context: CallContext): AsyncGenerator<WatchResponse> {
  validate(watchRequest, request);
  const service = counterService(services, request.participant);
  const names = [...new Set(request.counters)];
  const controller = new AbortController();
  const signal = AbortSignal.any([context.signal, controller.signal]);
  const changes = new Changes(names);
  const listening = listen(services, service, names, context, signal, changes);
  const told = new Map<string, string>();
  try {
    while (!signal.aborted) {
      const changed = await changes.take();
      // Read within the call's own limits, but never waiting for what is prepared.
      const readings = await values.read(service, changed, { consistency: Consistency.EVENTUAL, maxAgeMs: 0 }, { ...limitsOf(context), signal });
      const news: WatchedCounter[] = [];
      readings.forEach((reading, i) => {
        const counter = changed[i]!;
        if ('failure' in reading && reading.failure.reason !== 'COUNTER_NOT_FOUND') return changes.add([counter]);
        const value = 'value' in reading ? reading.value : undefined;
        if (told.get(counter) === textOf(value)) return;
        told.set(counter, textOf(value));
        news.push({ counter, value });
      });
      if (news.length > 0) yield { counters: news };
      await delay(services.clock, COALESCE_MS);
    }
  } finally {
    controller.abort();
    await listening;
  }
}

function limitsOf({ deadlineMs, traceparent, forwarded, peer, metadata }: CallContext): Omit<CallContext, 'signal'> {
  return { deadlineMs, traceparent, forwarded, peer, metadata };
}

function textOf(value: CounterValue | undefined): string {
  return value === undefined ? '' : `${value.kind} ${value.value} ${value.pendingAdds}`;
}

/** Names that are to be read again. */
class Changes {
  private readonly names: readonly string[];
  private changed: Set<string>;
  private wake: (() => void) | undefined;
  private error: { readonly cause: unknown } | undefined;

  constructor(names: readonly string[]) {
    this.names = names;
    this.changed = new Set(names);
  }

  /** @param names none: any may have changed */
  add(names: readonly string[]): void {
    for (const name of names.length === 0 ? this.names : names) this.changed.add(name);
    this.wake?.();
  }

  fail(cause: unknown): void {
    this.error ??= { cause };
    this.wake?.();
  }

  /** At least one. @throws what {@link fail} was told */
  async take(): Promise<string[]> {
    while (this.changed.size === 0 && this.error === undefined) await new Promise<void>((resolve) => (this.wake = resolve));
    if (this.error !== undefined) throw this.error.cause;
    const taken = [...this.changed];
    this.changed = new Set();
    return taken;
  }
}

/** Tells of changes until the signal aborts, whoever leads. */
async function listen(services: CounterServices, service: Service, names: string[], context: CallContext, signal: AbortSignal, changes: Changes): Promise<void> {
  const again = (): void => {
    if (signal.aborted) return changes.fail(new FailureError({ reason: 'CANCELLED', message: 'the watch was ended' }));
    changes.add([]);
    timer = services.clock.setTimer(READ_AGAIN_MS, again);
  };
  let timer = services.clock.setTimer(READ_AGAIN_MS, again);
  const onAbort = (): void => changes.fail(new FailureError({ reason: 'CANCELLED', message: 'the watch was ended' }));
  signal.addEventListener('abort', onAbort);
  try {
    const { traceparent } = context;
    const sources = merge(signal, (inner) =>
      Array.from({ length: service.partitions }, (_, partition) =>
        follow<CounterTerm, WatchPartitionResponse>(services.router, {
          service: service.name,
          partition,
          start: 'now',
          forwarded: false,
          signal: inner,
          local: (term) => changesOf(term, names, inner),
          remote: (leader) => {
            const request: WatchPartitionRequest = { participant: service.name, partition, names };
            return services.router.channels.stream(leader.address, CounterPartitionServiceService.watchPartition, request, { signal: inner, traceparent, forwarded: true });
          },
          position: () => 0,
        }),
      ),
    );
    for await (const { names: changed } of sources) changes.add(changed);
  } catch (error) {
    changes.fail(error);
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', onAbort);
  }
}

/** For another replica: changes at a partition that is led here. */
export async function* watchPartition(services: CounterServices, request: WatchPartitionRequest, context: CallContext): AsyncGenerator<WatchPartitionResponse> {
  const rule = message<WatchPartitionRequest>({ participant: serviceName, partition: partitionNumber, names: list(1, LIMITS.watched, counterName) });
  validate(rule, request);
  const { partition, names } = request;
  const { name: service } = counterService(services, request.participant);
  yield* follow<CounterTerm, WatchPartitionResponse>(services.router, {
    service,
    partition,
    start: 'now',
    forwarded: true,
    signal: context.signal,
    local: (term) => changesOf(term, names, context.signal),
    // One that was forwarded is not forwarded again.
    remote: () => nothing(),
    position: () => 0,
  });
}

async function* nothing(): AsyncGenerator<WatchPartitionResponse> {}

/** First that any may have changed, then which have. */
async function* changesOf(term: CounterTerm, names: readonly string[], signal: AbortSignal): AsyncGenerator<WatchPartitionResponse> {
  const wanted = new Set(names);
  const subscription = term.events.subscribe();
  const close = (): void => subscription.close();
  signal.addEventListener('abort', close);
  try {
    yield { names: [] };
    for (;;) {
      const changed = new Set<string>();
      for (const event of await subscription.next()) for (const name of event.names) if (wanted.has(name)) changed.add(name);
      if (changed.size > 0) yield { names: [...changed] };
    }
  } finally {
    signal.removeEventListener('abort', close);
    subscription.close();
  }
}
