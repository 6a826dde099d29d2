/** What a queue's partitions in this process count, and what is read of those led here. */

import type { Attributes, Counter } from '@opentelemetry/api';
import type { QueueResource } from '../../kernel/queue/resource.ts';
import type { QueueTally } from '../../kernel/queue/tally.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Labels } from '../../runtime/telemetry/metrics/labels.ts';
import type { Metrics, Observe } from '../../runtime/telemetry/metrics/metrics.ts';
import { ageOf, earlier, led, type Listed, type Pending, PendingCounts, type TermCounts } from '../../runtime/telemetry/metrics/term-counts.ts';

const GAUGES = ['txmesh.queue.backlog', 'txmesh.queue.in_flight', 'txmesh.queue.oldest_unacknowledged.age'] as const;

export class QueueMeter {
  readonly published: Counter;
  readonly delivered: Counter;
  readonly acknowledged: Counter;
  readonly deadLettered: Counter;
  readonly topics: Labels;
  readonly subscriptions: Labels;
  private readonly clock: Clock;
  private readonly resources = new Set<Listed<QueueResource>>();

  constructor(metrics: Metrics, participant: string, clock: Clock) {
    this.clock = clock;
    this.topics = new Labels('txmesh.topic', { 'txmesh.participant': participant });
    this.subscriptions = new Labels('txmesh.subscription', { 'txmesh.participant': participant });
    this.published = metrics.counter('txmesh.queue.published');
    this.delivered = metrics.counter('txmesh.queue.delivered');
    this.acknowledged = metrics.counter('txmesh.queue.acknowledged');
    this.deadLettered = metrics.counter('txmesh.queue.dead_lettered');
    metrics.watch(GAUGES, (observe) => this.read(observe));
  }

  /** For one term. */
  tally(counts: TermCounts): QueueTally {
    return counts.keep(new TermTally(this));
  }

  watch(counts: TermCounts, resource: QueueResource): void {
    counts.list(this.resources, resource);
  }

  private read(observe: Observe<(typeof GAUGES)[number]>): void {
    const nowMs = this.clock.nowMs();
    const sums = new Map<Attributes, { backlog: number; inFlight: number; oldestMs: number | undefined }>();
    for (const resource of led(this.resources)) {
      for (const { name, backlog, inFlight, waitingSinceMs } of resource.survey(nowMs)) {
        const attributes = this.subscriptions.of(name);
        const { backlog: b = 0, inFlight: f = 0, oldestMs } = sums.get(attributes) ?? {};
        sums.set(attributes, { backlog: b + backlog, inFlight: f + inFlight, oldestMs: earlier(oldestMs, waitingSinceMs) });
      }
    }
    for (const [attributes, { backlog, inFlight, oldestMs }] of sums) {
      observe('txmesh.queue.backlog', backlog, attributes);
      observe('txmesh.queue.in_flight', inFlight, attributes);
      observe('txmesh.queue.oldest_unacknowledged.age', ageOf(oldestMs, nowMs), attributes);
    }
  }
}

class TermTally implements QueueTally, Pending {
  private readonly topics: Labels;
  private readonly subscriptions: Labels;
  private readonly publishedCounts: PendingCounts;
  private readonly deliveredCounts: PendingCounts;
  private readonly acknowledgedCounts: PendingCounts;
  private readonly deadLetteredCounts: PendingCounts;

  constructor({ topics, subscriptions, published, delivered, acknowledged, deadLettered }: QueueMeter) {
    this.topics = topics;
    this.subscriptions = subscriptions;
    this.publishedCounts = new PendingCounts(published);
    this.deliveredCounts = new PendingCounts(delivered);
    this.acknowledgedCounts = new PendingCounts(acknowledged);
    this.deadLetteredCounts = new PendingCounts(deadLettered);
  }

  published(topic: string, messages: number): void {
    this.publishedCounts.add(this.topics.of(topic), messages);
  }

  delivered(subscription: string, messages: number): void {
    this.deliveredCounts.add(this.subscriptions.of(subscription), messages);
  }

  acknowledged(subscription: string): void {
    this.acknowledgedCounts.add(this.subscriptions.of(subscription));
  }

  deadLettered(subscription: string): void {
    this.deadLetteredCounts.add(this.subscriptions.of(subscription));
  }

  flush(): void {
    this.publishedCounts.flush();
    this.deliveredCounts.flush();
    this.acknowledgedCounts.flush();
    this.deadLetteredCounts.flush();
  }
}
