/** Between the kernel and what a resource does outside of transactions ({@link ResourceRequests}). */

import type { Failure } from '../failure.ts';
import type { Cost, Origin } from '../kernel.ts';
import type { LockRequest } from './locks.ts';
import type { RecordOutput, ResourceContext, ResourceRequests } from './resource.ts';
import type { PartitionState } from './state.ts';
import type { CommandOf, ResourceTypes } from './types.ts';

const NOTHING: readonly string[] = [];
const NO_COST: Cost = { operations: 0, bytes: 0 };

export class Requests<T extends ResourceTypes> {
  private readonly requests: ResourceRequests<T> | undefined;
  private readonly context: Context<T>;

  constructor(state: PartitionState<T>, onAwaited: (holder: LockRequest) => void) {
    this.requests = state.resource.requests;
    this.context = new Context(state, onAwaited);
  }

  missing(request: T['request']): readonly string[] {
    return this.requests?.missing(request) ?? NOTHING;
  }

  cost(request: T['request']): Cost {
    return this.requests?.cost(request) ?? NO_COST;
  }

  get dueCost(): Cost {
    return this.requests?.dueCost ?? NO_COST;
  }

  /** Whether the resource has requests at all. */
  get served(): boolean {
    return this.requests !== undefined;
  }

  /** Infinity: never. */
  get wakeAtMs(): number {
    return this.requests?.wakeAtMs() ?? Infinity;
  }

  serve({ request, origin }: CommandOf<'request', T>): void {
    this.requests?.serve(request, origin, this.context);
  }

  onDue(): void {
    this.requests?.onDue(this.context);
  }

  cancel(target: Origin): void {
    this.requests?.cancel(target, this.context);
  }

  retire(): void {
    this.requests?.retire(this.context);
  }

  conclude(): void {
    this.requests?.conclude(this.context);
  }
}

/** One for all steps: it looks at the step under way. */
class Context<T extends ResourceTypes> implements ResourceContext<T> {
  private readonly state: PartitionState<T>;
  private readonly onAwaited: (holder: LockRequest) => void;

  constructor(state: PartitionState<T>, onAwaited: (holder: LockRequest) => void) {
    this.state = state;
    this.onAwaited = onAwaited;
  }

  get nowMs(): number {
    return this.state.nowMs;
  }

  get entropy(): number {
    return this.state.entropy;
  }

  get epoch(): number {
    return this.state.epoch;
  }

  get out(): RecordOutput<T> {
    return this.state.out;
  }

  takeRevision(): number {
    return this.state.takeRevision();
  }

  respond(origin: Origin, response: T['response']): void {
    if (origin !== undefined) this.state.out.reply(origin, { type: 'response', response });
  }

  fail(origin: Origin, failure: Failure): void {
    if (origin !== undefined) this.state.out.reply(origin, { type: 'failure', failure });
  }

  follow(request: T['request']): void {
    this.state.out.follow({ type: 'request', request });
  }

  urge(lockName: string): void {
    const holders = new Set<LockRequest>();
    this.state.locks.addHolders(lockName, true, holders);
    for (const holder of holders) this.onAwaited(holder);
  }
}
