/** The topic and the subscription of a row. */

import { QueueServiceClient, Storage, Subscription, Topic } from '../../../services/gen/txmesh/queue/v1/queue.ts';
import { call, openClient } from '../streams.ts';

export const TOPIC = 'bench';
export const SUBSCRIPTION = 'bench-consumers';
/** Longer than any message waits for its acknowledgement here, so that what comes twice is a fault. */
const ACK_DEADLINE_SECONDS = 600n;
const NOTHING = new Uint8Array();

export async function createQueue(address: string, storage: 'disk' | 'memory'): Promise<void> {
  const client = openClient(QueueServiceClient, address);
  const common = { participant: '', requestId: '' };
  const topic: Topic = { ...Topic.decode(NOTHING), name: TOPIC, storage: storage === 'disk' ? Storage.DISK : Storage.MEMORY };
  const subscription: Subscription = {
    ...Subscription.decode(NOTHING),
    name: SUBSCRIPTION,
    topic: TOPIC,
    ackDeadline: { seconds: ACK_DEADLINE_SECONDS, nanos: 0 },
  };
  try {
    await call(client.createTopic.bind(client), { ...common, topic });
    await call(client.createSubscription.bind(client), { ...common, subscription });
  } finally {
    client.close();
  }
}
