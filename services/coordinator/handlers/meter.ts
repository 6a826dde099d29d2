/** What the coordinator's partitions in this process count, and what is read of those led here. */

import type { Attributes, Counter, Histogram } from '@opentelemetry/api';
import type { CoordinatorKernel } from '../../kernel/coordinator/kernel.ts';
import type { AbortLabel, CoordinatorTally } from '../../kernel/coordinator/tally.ts';
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
const STATES = ['active', 'preparing', 'committing', 'aborting'] as const;
const STATE_ATTRIBUTES: Readonly<Record<(typeof STATES)[number], Attributes>> = {
  active: { 'txmesh.state': 'active' },
  preparing: { 'txmesh.state': 'preparing' },
  committing: { 'txmesh.state': 'committing' },
  aborting: { 'txmesh.state': 'aborting' },
};

/**
 * Aborts that are the mesh's doing: the objective for transactions counts these. Their series begin at 0, so
 * that there is a rate of the first one, too.
 */
export const MESH_FAULTS: readonly Reason[] = [
  'TRANSACTION_TIMEOUT',
  'WORKSPACE_LOST',
  'NO_LEADER',
  'DRAINING',
  'OVERLOADED',
  'STORE_FULL',
  'OUTCOME_UNKNOWN',
  'DEADLINE_EXCEEDED',
  'INTERNAL',
];

export class CoordinatorMeter {
  readonly finished: Counter;
  readonly phases: Histogram;
  private readonly service: ServiceMeter;
  private readonly clock: Clock;
  private readonly partitions = new Set<Listed<Partition>>();
  private readonly aborted = new Map<AbortLabel, Attributes>();

  constructor(metrics: Metrics, service: string, clock: Clock) {
    this.service = new ServiceMeter(metrics, service);
    this.clock = clock;
    this.finished = metrics.counter('txmesh.transaction.finished');
    this.finished.add(0, COMMITTED);
    for (const reason of MESH_FAULTS) this.finished.add(0, this.attributesOf(reason));
    this.phases = metrics.histogram('txmesh.transaction.phase.duration');
    metrics.watch(['txmesh.transaction.open', 'txmesh.transaction.completing.age'], (observe) => this.read(observe));
  }

  /** For one term. */
  term(): CoordinatorTermCounts {
    const counts = new TermCounts(this.service);
    const tally = counts.keep(new TermTally(this));
    return { counts, tally, watch: (kernel) => counts.list(this.partitions, { kernel, tally }) };
  }

  /** There are about as many as there are reasons. */
  attributesOf(label: AbortLabel): Attributes {
    let attributes = this.aborted.get(label);
    if (attributes === undefined) this.aborted.set(label, (attributes = { 'txmesh.outcome': 'aborted', 'txmesh.reason': label }));
    return attributes;
  }

  private read(observe: Observe<'txmesh.transaction.open' | 'txmesh.transaction.completing.age'>): void {
    const open = { active: 0, preparing: 0, committing: 0, aborting: 0 };
    let oldestMs: number | undefined;
    let leads = false;
    for (const { kernel, tally } of led(this.partitions)) {
      const { active, preparing, committing, oldestDecideMs } = kernel.survey();
      leads = true;
      open.active += active;
      open.preparing += preparing;
      open.committing += committing;
      open.aborting += tally.aborting;
      oldestMs = earlier(oldestMs, oldestDecideMs);
    }
    if (!leads) return;
    for (const state of STATES) observe('txmesh.transaction.open', open[state], STATE_ATTRIBUTES[state]);
    observe('txmesh.transaction.completing.age', ageOf(oldestMs, this.clock.nowMs()));
  }
}

export interface CoordinatorTermCounts {
  readonly counts: TermCounts;
  readonly tally: CoordinatorTally;
  watch(kernel: CoordinatorKernel): void;
}

interface Partition {
  readonly kernel: CoordinatorKernel;
  readonly tally: TermTally;
}

class TermTally implements CoordinatorTally, Pending {
  private readonly meter: CoordinatorMeter;
  private readonly finished: PendingCounts;
  private readonly prepare: PendingDurations;
  private readonly complete: PendingDurations;
  private decisions = 0;
  /** Aborts that are decided and not durable yet. */
  aborting = 0;

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

  aborted(as: AbortLabel): void {
    this.decisions++;
    this.aborting++;
    this.finished.add(this.meter.attributesOf(as));
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
    this.aborting = 0;
  }
}
