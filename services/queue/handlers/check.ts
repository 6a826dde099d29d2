/** CheckDeliveries: what is not out any more, at each partition that the ids name. */

import { QueueServiceService as methods, type CheckDeliveriesRequest, type CheckDeliveriesResponse } from '../../gen/txmesh/queue/v1/queue.ts';
import { validate } from '../../runtime/participant/service.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { queueOf, request as ask, type QueueServices } from './service.ts';
import { groupAckIds, type SettleFailed } from './settle.ts';
import { acknowledgeRequest } from './validate.ts';

export async function checkDeliveries(
  services: QueueServices,
  request: CheckDeliveriesRequest,
  context: CallContext,
): Promise<CheckDeliveriesResponse> {
  validate(acknowledgeRequest, request);
  const { participant, subscription } = request;
  const service = queueOf(services, participant);
  // What is no id of this queue is no delivery that is out.
  const failed: SettleFailed[] = [];
  const groups = groupAckIds(service, request.ackIds, undefined, failed);
  const parts = Array.from(groups.values(), ({ partition, ackIds, tags }) => {
    const route = { service: service.name, partition, method: methods.checkDeliveries, request: { participant, subscription, ackIds }, context, changes: false };
    return services.router.unary(route, async (term): Promise<CheckDeliveriesResponse> => {
      const { settled } = await ask(services, term, 'checked', { type: 'check', subscription, tags }, context);
      return { settledAckIds: settled.map((index) => ackIds[index]!) };
    });
  });
  const answers = await Promise.all(parts);
  return { settledAckIds: [...failed.map(({ ackId }) => ackId), ...answers.flatMap(({ settledAckIds }) => settledAckIds)] };
}
