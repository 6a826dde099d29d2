/** QueueService, put together, with codecs of its own for what is fast. */

import { QueueServiceService } from '../../gen/txmesh/queue/v1/queue.ts';
import type { StrictReader } from '../../runtime/transport/decode.ts';
import type { Handlers } from '../../runtime/transport/service.ts';
import { decodeConsumerFrame, decodePublishFrame, encodePullResponse, type ConsumerFrame, type PublishFrame } from '../codec-frames.ts';
import { AdminHandlers } from './admin.ts';
import { checkDeliveries } from './check.ts';
import { ListHandlers } from './lists.ts';
import { publish } from './publish.ts';
import { PublishSession } from './publish-stream.ts';
import { acknowledge, modifyAckDeadline, pull, type PullAnswer } from './pull.ts';
import { Budget, PUBLISH_BUDGET_BYTES, type QueueServices } from './service.ts';
import { PullSession } from './streaming-pull.ts';

const asIs = (frame: Buffer): Buffer => frame;

/** What a server registers in place of the generated definition. Frames are read and written by hand. */
export function queueDefinition() {
  return {
    ...QueueServiceService,
    publishStream: {
      ...QueueServiceService.publishStream,
      requestDeserialize: (bytes: Buffer): PublishFrame => decodePublishFrame(bytes as Uint8Array | StrictReader),
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
    pull: {
      ...QueueServiceService.pull,
      responseSerialize: ({ delivered, forwarded }: PullAnswer): Buffer => encodePullResponse(delivered, forwarded),
      responseDeserialize: (): PullAnswer => ({ delivered: [], forwarded: [] }),
    },
    streamingPull: {
      ...QueueServiceService.streamingPull,
      requestDeserialize: (bytes: Buffer): ConsumerFrame => decodeConsumerFrame(bytes as Uint8Array | StrictReader),
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  };
}

export function queueHandlers(services: QueueServices): Handlers<ReturnType<typeof queueDefinition>> {
  const admin = new AdminHandlers(services);
  const lists = new ListHandlers(services);
  const budget = new Budget(PUBLISH_BUDGET_BYTES);
  const requests = services.metrics?.requests;
  const publishing = { services, budget, requests: requests?.stream(QueueServiceService.publishStream.path) };
  const pulling = { services, requests: requests?.stream(QueueServiceService.streamingPull.path) };
  return {
    createTopic: (request, context) => admin.createTopic(request, context),
    getTopic: (request, context) => admin.getTopic(request, context),
    updateTopic: (request, context) => admin.updateTopic(request, context),
    listTopics: (request, context) => lists.listTopics(request, context),
    deleteTopic: (request, context) => admin.topicChange('deleteTopic', QueueServiceService.deleteTopic, request, context, {}),
    purgeTopic: (request, context) => admin.topicChange('purgeTopic', QueueServiceService.purgeTopic, request, context, {}),
    getTopicStatistics: (request, context) => lists.topicStatistics(request, context),
    createSubscription: (request, context) => admin.createSubscription(request, context),
    getSubscription: (request, context) => admin.getSubscription(request, context),
    updateSubscription: (request, context) => admin.updateSubscription(request, context),
    listSubscriptions: (request, context) => lists.listSubscriptions(request, context),
    deleteSubscription: (request, context) =>
      admin.subscriptionChange('deleteSubscription', QueueServiceService.deleteSubscription, request, context, {}),
    detachSubscription: (request, context) =>
      admin.subscriptionChange('detachSubscription', QueueServiceService.detachSubscription, request, context, {}),
    purgeSubscription: (request, context) => admin.purgeSubscription(QueueServiceService.purgeSubscription, request, context, {}),
    seek: (request, context) => admin.seek(request, context),
    getSubscriptionStatistics: (request, context) => lists.subscriptionStatistics(request, context),
    createSnapshot: (request, context) => admin.createSnapshot(request, context),
    listSnapshots: (request, context) => lists.listSnapshots(request, context),
    deleteSnapshot: (request, context) => admin.snapshotChange(QueueServiceService.deleteSnapshot, request, context, {}),
    publish: (request, context) => publish(services, budget, request, context),
    publishStream: (calls, context) => new PublishSession(publishing, calls, context).run(),
    pull: (request, context) => pull(services, request, context),
    streamingPull: (calls, context) => new PullSession(pulling, calls, context).run(),
    acknowledge: (request, context) => acknowledge(services, request, context),
    modifyAckDeadline: (request, context) => modifyAckDeadline(services, request, context),
    checkDeliveries: (request, context) => checkDeliveries(services, request, context),
  };
}
