import { ABSENT, checkOp, newId, putOp, VERSION } from './testing/nodes.ts';
import { testGarbage } from './testing/garbage.ts';

testGarbage(['coordinator.v1.CoordinatorService', 'keyvalue.v1.KeyValueService', 'participant.v1.ParticipantService'], {}, (mesh) => {
  // Every operation that is nearly right, as google.protobuf.Any has it.
  const operations = [putOp('inventory', 'a', '1', ABSENT), checkOp('inventory', 'a', VERSION(1))].map(({ operation }) => operation!);
  return {
    texts: {
      participant: ['inventory', 'payments', 'coordinator'],
      transaction_id: [newId(), newId()],
      request_id: [newId()],
      collection: ['stock', 'a.b'],
      key: ['a', 'b'],
      routing_key: ['a', 'b'],
      cluster_id: [mesh.nodes[0]!.view.clusterId],
      type_url: operations.map(({ typeUrl }) => typeUrl),
      traceparent: ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
    },
    bytes: operations.map(({ value }) => new Uint8Array(value)),
  };
});
