/** What a participant's partitions in this process count, of whatever kind it is, and what is read of those led here. */

import type { Attributes, Counter, Histogram } from '@opentelemetry/api';
import type { Reason } from '../../kernel/failure.ts';
import type { Heuristic } from '../../kernel/messages.ts';
import type { ParticipantSurvey, ParticipantTally } from '../../kernel/participant/tally.ts';
import { CONFLICTS } from '../../kernel/participant/tally.ts';
import type { Clock } from '../clock.ts';
import type { Metrics, Observe } from '../telemetry/metrics/metrics.ts';
import { ageOf, earlier, led, type Listed, type Pending, PendingCounts, PendingDurations, ServiceMeter, TermCounts } from '../telemetry/metrics/term-counts.ts';

const GAUGES = ['txmesh.branch.prepared', 'txmesh.branch.in_doubt.age', 'txmesh.lock.waiting'] as const;

interface Surveyed {
  survey(): ParticipantSurvey;
}

export interface ParticipantTermCounts {
  readonly counts: TermCounts;
  readonly tally: ParticipantTally;
  watch(kernel: Surveyed): void;
}

export class ParticipantMeter {
  readonly attributes: Attributes;
  readonly conflicts: Counter;
  readonly heuristics: Counter;
  readonly waits: Histogram;
  readonly reasons = new Map<Reason, Attributes>();
  readonly outcomes: Readonly<Record<Heuristic, Attributes>>;
  private readonly service: ServiceMeter;
  private readonly clock: Clock;
  private readonly kernels = new Set<Listed<Surveyed>>();

  constructor(metrics: Metrics, participant: string, clock: Clock) {
    this.service = new ServiceMeter(metrics, participant);
    this.clock = clock;
    this.attributes = { 'txmesh.participant': participant };
    this.conflicts = metrics.counter('txmesh.conflict');
    this.heuristics = metrics.counter('txmesh.branch.heuristic');
    this.waits = metrics.histogram('txmesh.lock.wait.duration');
    for (const reason of CONFLICTS) this.reasons.set(reason, { ...this.attributes, 'txmesh.reason': reason });
    const outcome = (name: string): Attributes => ({ ...this.attributes, 'txmesh.outcome': name });
    this.outcomes = { commit: outcome('committed'), abort: outcome('aborted') };
    for (const attributes of this.reasons.values()) this.conflicts.add(0, attributes);
    for (const attributes of Object.values(this.outcomes)) this.heuristics.add(0, attributes);
    metrics.watch(GAUGES, (observe) => this.read(observe));
  }

  /** For one term. */
  term(): ParticipantTermCounts {
    const counts = new TermCounts(this.service);
    return { counts, tally: counts.keep(new TermTally(this)), watch: (kernel) => counts.list(this.kernels, kernel) };
  }

  private read(observe: Observe<(typeof GAUGES)[number]>): void {
    const sum = { prepared: 0, waiting: 0 };
    let oldestMs: number | undefined;
    let leads = false;
    for (const kernel of led(this.kernels)) {
      const { prepared, oldestPrepareMs, waiting } = kernel.survey();
      leads = true;
      sum.prepared += prepared;
      sum.waiting += waiting;
      oldestMs = earlier(oldestMs, oldestPrepareMs);
    }
    if (!leads) return;
    observe('txmesh.branch.prepared', sum.prepared, this.attributes);
    observe('txmesh.branch.in_doubt.age', ageOf(oldestMs, this.clock.nowMs()), this.attributes);
    observe('txmesh.lock.waiting', sum.waiting, this.attributes);
  }
}

class TermTally implements ParticipantTally, Pending {
  private readonly meter: ParticipantMeter;
  private readonly conflicts: PendingCounts;
  private readonly heuristics: PendingCounts;
  private readonly waits: PendingDurations;

  constructor(meter: ParticipantMeter) {
    this.meter = meter;
    this.conflicts = new PendingCounts(meter.conflicts);
    this.heuristics = new PendingCounts(meter.heuristics);
    this.waits = new PendingDurations(meter.waits, meter.attributes);
  }

  conflicted(reason: Reason): void {
    this.conflicts.add(this.meter.reasons.get(reason)!);
  }

  forced(outcome: Heuristic): void {
    this.heuristics.add(this.meter.outcomes[outcome]);
  }

  waited(durationMs: number): void {
    this.waits.add(durationMs);
  }

  flush(): void {
    this.conflicts.flush();
    this.heuristics.flush();
    this.waits.flush();
  }
}
