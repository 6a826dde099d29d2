import type { Subscription } from './subscription.ts';

/** What a subscription has at a partition. */
export interface SubscriptionSurvey {
  readonly name: string;
  /** Messages that it has not acknowledged. */
  readonly backlog: number;
  /** Messages that are delivered and not settled. */
  readonly inFlight: number;
  /** Since when the one of the backlog waits that has waited longest, wall time in milliseconds. */
  readonly waitingSinceMs: number | undefined;
}

export function surveyOf(subscription: Subscription, nowMs: number): SubscriptionSurvey {
  const { config, outstanding, backlog } = subscription;
  return { name: config.name, backlog, inFlight: outstanding.size, waitingSinceMs: backlog === 0 ? undefined : waitingSinceMs(subscription, nowMs) };
}

/**
 * A message waits from the time when it may be delivered. Where none is delayed that is the first one's;
 * those that are not due yet are passed over segment by segment.
 */
function waitingSinceMs({ topic, set: { acknowledged } }: Subscription, nowMs: number): number | undefined {
  let sinceMs = Infinity;
  let position = acknowledged.floor + 1;
  for (const segment of topic?.segments.from(position) ?? []) {
    // Nothing is due before it is published, so what comes later has not waited longer.
    if (segment.publishMs >= sinceMs) break;
    if (segment.earliestDueMs >= sinceMs || segment.earliestDueMs > nowMs) continue;
    position = acknowledged.nextMissing(Math.max(position, segment.first));
    for (; position < segment.end && sinceMs > segment.publishMs; position = acknowledged.nextMissing(position + 1)) {
      const dueMs = segment.dueMsOf(position);
      if (dueMs <= nowMs) sinceMs = Math.min(sinceMs, dueMs);
    }
  }
  return sinceMs === Infinity ? undefined : sinceMs;
}
