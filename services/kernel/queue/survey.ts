import type { Subscription } from './subscription.ts';

/** What a subscription has at a partition. */
export interface SubscriptionSurvey {
  readonly name: string;
  /** Messages that it has not acknowledged. */
  readonly backlog: number;
  /** Messages that are delivered and not settled. */
  readonly inFlight: number;
  /** When the oldest of the backlog was published, wall time in milliseconds. */
  readonly oldestPublishMs: number | undefined;
}

/** Looks at one message, whatever the backlog. */
export function surveyOf({ config, topic, set, outstanding, backlog }: Subscription): SubscriptionSurvey {
  const oldest = backlog === 0 ? undefined : topic?.segments.atOrAfter(set.acknowledged.floor + 1);
  return { name: config.name, backlog, inFlight: outstanding.size, oldestPublishMs: oldest?.publishMs };
}
