import { AcknowledgeOperation, PublishOperation } from '../../gen/txmesh/queue/v1/operations.ts';
import { Message, QueueServiceService as queue, Subscription, Topic } from '../../gen/txmesh/queue/v1/queue.ts';
import { testGarbage } from './testing/garbage.ts';
import { newId } from './testing/nodes.ts';

const NOTHING = new Uint8Array();
const TYPE = 'type.googleapis.com/txmesh.queue.v1.';

testGarbage(['queue.v1.QueueService', 'coordinator.v1.CoordinatorService', 'participant.v1.ParticipantService'], { queues: ['queue'] }, async (mesh) => {
  const common = { participant: '', requestId: '' };
  const message = { ...Message.decode(NOTHING), data: Buffer.from('m') };
  for (const name of ['a', 'b']) {
    await mesh.call(queue.createTopic, { ...common, topic: { ...Topic.decode(NOTHING), name } });
    await mesh.call(queue.createSubscription, { ...common, subscription: { ...Subscription.decode(NOTHING), name, topic: name } });
  }
  const { messageIds } = await mesh.call(queue.publish, { participant: '', topic: 'a', messages: [message, message, message], session: '', firstSequence: 0, settledBelow: 0, sequenceOffsets: [] });
  const { messages } = await mesh.call(queue.pull, { participant: '', subscription: 'a', maxMessages: 3, maxBytes: 0, wait: { seconds: 5n, nanos: 0 }, ackDeadline: undefined, partition: undefined });
  const ackIds = messages.map(({ ackId }) => ackId);
  const operations = [PublishOperation.encode({ topic: 'a', message }).finish(), AcknowledgeOperation.encode({ subscription: 'a', ackId: ackIds[0]! }).finish()];
  return {
    texts: {
      participant: ['', 'queue'],
      name: ['a', 'b', 'c'],
      topic: ['a', 'b'],
      subscription: ['a', 'b'],
      snapshot: ['a'],
      update_mask: ['retention', 'ack_deadline'],
      paths: ['retention', 'ack_deadline'],
      filter: ['', 'attributes:a', 'NOT (attributes.a = "b" OR hasPrefix(attributes.b, "c"))'],
      ordering_key: ['', 'a'],
      deduplication_id: ['', 'a'],
      traceparent: [''],
      session: ['', newId()],
      request_id: ['', newId()],
      page_token: [''],
      message_ids: messageIds,
      ack_id: ackIds,
      ack_ids: ackIds,
      acknowledge_ids: ackIds,
      transaction_id: [newId(), newId()],
      routing_key: ['a', ackIds[0]!.split(':')[0]!],
      cluster_id: [mesh.nodes[0]!.view.clusterId],
      type_url: [`${TYPE}PublishOperation`, `${TYPE}AcknowledgeOperation`, `${TYPE}ConfigureOperation`],
    },
    bytes: [message.data, ...operations],
  };
});
