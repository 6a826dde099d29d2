/** What a counter service's partitions in this process count, and what is read of those led here. */

import type { Attributes, Counter } from '@opentelemetry/api';
import type { CounterResource } from '../../kernel/counter/resource.ts';
import type { CounterTally } from '../../kernel/counter/tally.ts';
import type { CounterKind } from '../../kernel/counter/types.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Metrics } from '../../runtime/telemetry/metrics/metrics.ts';
import { ageOf, earlier, led, type Listed, type Pending, PendingCounts, type TermCounts } from '../../runtime/telemetry/metrics/term-counts.ts';

export class CounterMeter {
  readonly added: Counter;
  readonly kinds: Readonly<Record<CounterKind, Attributes>>;
  private readonly resources = new Set<Listed<CounterResource>>();

  constructor(metrics: Metrics, participant: string, clock: Clock) {
    const attributes = (kind: CounterKind): Attributes => ({ 'txmesh.participant': participant, 'txmesh.kind': kind });
    this.kinds = { strong: attributes('strong'), sharded: attributes('sharded'), queued: attributes('queued'), replicated: attributes('replicated') };
    this.added = metrics.counter('txmesh.counter.added');
    for (const each of Object.values(this.kinds)) this.added.add(0, each);
    metrics.watch(['txmesh.counter.freshness'], (observe) => {
      let oldestMs: number | undefined;
      let leads = false;
      for (const { oldestEventMs } of led(this.resources)) {
        leads = true;
        oldestMs = earlier(oldestMs, oldestEventMs);
      }
      if (leads) observe('txmesh.counter.freshness', ageOf(oldestMs, clock.nowMs()), this.kinds.queued);
    });
  }

  /** For one term. */
  tally(counts: TermCounts): CounterTally {
    return counts.keep(new TermTally(this));
  }

  watch(counts: TermCounts, resource: CounterResource): void {
    counts.list(this.resources, resource);
  }
}

class TermTally implements CounterTally, Pending {
  private readonly kinds: CounterMeter['kinds'];
  private readonly addedCounts: PendingCounts;

  constructor({ kinds, added }: CounterMeter) {
    this.kinds = kinds;
    this.addedCounts = new PendingCounts(added);
  }

  added(kind: CounterKind): void {
    this.addedCounts.add(this.kinds[kind]);
  }

  flush(): void {
    this.addedCounts.flush();
  }
}
