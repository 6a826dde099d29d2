/** What the coordinator's partitions in this process count, and what is read of those led here. */

import type { Attributes, Counter, Histogram } from '@opentelemetry/api';
import type { CoordinatorKernel } from '../../kernel/coordinator/kernel.ts';
import type { CoordinatorTally } from '../../kernel/coordinator/tally.ts';
import type { Reason } from '../../kernel/failure.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { BatchReport } from '../../runtime/partition/term.ts';
import type { Metrics, Observe } from '../../runtime/telemetry/metrics/metrics.ts';
import {
  ageOf,
  earlier,
  led,
  type Listed,
  type Pending,
  PendingCounts,
  PendingDurations,
  ServiceMeter,
  TermCounts,
} from '../../runtime/telemetry/metrics/term-counts.ts';

const COMMITTED: Attributes = { 'txmesh.outcome': 'committed', 'txmesh.reason': '' };
const PHASES = { prepare: { 'txmesh.phase': 'prepare' }, decide: { 'txmesh.phase': 'decide' }, complete: { 'txmesh.phase': 'complete' } } as const;
const STATES = { active: { 'txmesh.state': 'active' }, preparing: { 'txmesh.state': 'preparing' }, committing: { 'txmesh.state': 'committing' } } as const;

export class CoordinatorMeter {
  readonly finished: Counter;
  readonly phases: Histogram;
  private readonly service: ServiceMeter;
  private readonly clock: Clock;
  private readonly kernels = new Set<Listed<CoordinatorKernel>>();
  private readonly aborted = new Map<Reason, Attributes>();

  constructor(metrics: Metrics, service: string, clock: Clock) {
    this.service = new ServiceMeter(metrics, service);
    this.clock = clock;
    this.finished = metrics.counter('txmesh.transaction.finished');
    this.finished.add(0, COMMITTED);
    this.phases = metrics.histogram('txmesh.transaction.phase.duration');
    metrics.watch(['txmesh.transaction.open', 'txmesh.transaction.completing.age'], (observe) => this.read(observe));
  }

  /** For one term. */
  term(): CoordinatorTermCounts {
    const counts = new TermCounts(this.service);
    return { counts, tally: counts.keep(new TermTally(this)), watch: (kernel) => counts.list(this.kernels, kernel) };
  }

  /** There are as many as there are reasons. */
  attributesOf(reason: Reason): Attributes {
    let attributes = this.aborted.get(reason);
    if (attributes === undefined) this.aborted.set(reason, (attributes = { 'txmesh.outcome': 'aborted', 'txmesh.reason': reason }));
    return attributes;
  }

  private read(observe: Observe<'txmesh.transaction.open' | 'txmesh.transaction.completing.age'>): void {
    const open = { active: 0, preparing: 0, committing: 0 };
    let oldestMs: number | undefined;
    let leads = false;
    for (const kernel of led(this.kernels)) {
      const { active, preparing, committing, oldestDecideMs } = kernel.survey();
      leads = true;
      open.active += active;
      open.preparing += preparing;
      open.committing += committing;
      oldestMs = earlier(oldestMs, oldestDecideMs);
    }
    if (!leads) return;
    for (const state of ['active', 'preparing', 'committing'] as const) observe('txmesh.transaction.open', open[state], STATES[state]);
    observe('txmesh.transaction.completing.age', ageOf(oldestMs, this.clock.nowMs()));
  }
}

export interface CoordinatorTermCounts {
  readonly counts: TermCounts;
  readonly tally: CoordinatorTally;
  watch(kernel: CoordinatorKernel): void;
}

class TermTally implements CoordinatorTally, Pending {
  private readonly meter: CoordinatorMeter;
  private readonly finished: PendingCounts;
  private readonly prepare: PendingDurations;
  private readonly complete: PendingDurations;
  private decisions = 0;

  constructor(meter: CoordinatorMeter) {
    this.meter = meter;
    this.finished = new PendingCounts(meter.finished);
    this.prepare = new PendingDurations(meter.phases, PHASES.prepare);
    this.complete = new PendingDurations(meter.phases, PHASES.complete);
  }

  committed(): void {
    this.decisions++;
    this.finished.add(COMMITTED);
  }

  aborted(reason: Reason): void {
    this.decisions++;
    this.finished.add(this.meter.attributesOf(reason));
  }

  prepared(durationMs: number): void {
    this.prepare.add(durationMs);
  }

  completed(durationMs: number): void {
    this.complete.add(durationMs);
  }

  flush(write: BatchReport | undefined): void {
    this.finished.flush();
    this.prepare.flush();
    this.complete.flush();
    if (write !== undefined) for (; this.decisions > 0; this.decisions--) this.meter.phases.record(write.durationMs / 1000, PHASES.decide);
    this.decisions = 0;
  }
}
