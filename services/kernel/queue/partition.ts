/** One partition of a queue: what exists there, beside what its parts share. */

import { QueueState } from './state.ts';
import type { Subscription } from './subscription.ts';
import type { Snapshot, Topic } from './topic.ts';

export class QueuePartition extends QueueState {
  readonly topics = new Map<string, Topic>();
  readonly subscriptions = new Map<string, Subscription>();
  readonly snapshots = new Map<string, Snapshot>();
}
