import { AddOperation, CheckOperation, CounterServiceService as counter, Kind } from '../../gen/txmesh/counter/v1/counter.ts';
import { testGarbage } from './testing/garbage.ts';
import { newId } from './testing/nodes.ts';

const TYPE = 'type.googleapis.com/txmesh.counter.v1.';
const KINDS = { a: Kind.STRONG, b: Kind.SHARDED, c: Kind.QUEUED, d: Kind.REPLICATED };

testGarbage(['counter.v1.CounterService', 'counter.v1.CounterPartitionService', 'coordinator.v1.CoordinatorService', 'participant.v1.ParticipantService'], { counters: ['counter'] }, async (mesh) => {
  for (const [name, kind] of Object.entries(KINDS))
    await mesh.call(counter.createCounter, { participant: '', counter: name, kind, bounds: undefined, initialValue: 0n, shards: 0, requestId: '' });
  const names = Object.keys(KINDS);
  const operations = [AddOperation.encode({ counter: 'a', amount: 1n }).finish(), CheckOperation.encode({ counter: 'a', value: 0n }).finish()];
  return {
    texts: {
      participant: ['', 'counter'],
      counter: [...names, 'e'],
      counters: names,
      names,
      name: names,
      rates: names,
      floor: ['', newId()],
      prefix: ['', 'a'],
      session: ['', newId(), newId()],
      request_id: ['', newId()],
      page_token: [''],
      traceparent: [''],
      transaction_id: [newId(), newId()],
      routing_key: names,
      cluster_id: [mesh.nodes[0]!.view.clusterId],
      type_url: [`${TYPE}AddOperation`, `${TYPE}CheckOperation`],
    },
    bytes: operations,
  };
});
