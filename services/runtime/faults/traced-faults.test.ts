/** Faults in traces. In a file of its own: spans are recorded once in a process. */

import { expect, test } from 'vitest';
import { recordSpans } from '../../client/testing/record-spans.ts';
import { KeyValueServiceService as keyvalue } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { CoordinatorServiceService as coordinator, type ExecuteStreamResponse } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { FaultServiceService as faults, type Fault } from '../../gen/txmesh/admin/v1/fault.ts';
import { newId, putOp, startMesh } from '../router/testing/nodes.ts';
import { Spans } from '../telemetry/spans.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const TRACEPARENT = `00-${TRACE}-b7ad6b7169203331-01`;
const MILLISECOND = { minimum: { seconds: 0n, nanos: 1e6 }, maximum: undefined };

test('faults are seen in the spans of calls, of messages in streams and of writes', async () => {
  const { spans, stop } = recordSpans();
  const mesh = await startMesh({ faultInjection: true, partitions: 1 }, 1, { spans: new Spans(true, 'test') });
  const fault = (name: string, target: Fault['target']): Fault => ({
    name,
    target,
    latency: MILLISECOND,
    effect: undefined,
    afterExecution: false,
    probability: 1,
    duration: undefined,
    expireTime: undefined,
    injections: 0,
  });
  const method = 'txmesh.keyvalue.v1.KeyValueService/Put';
  await mesh.call(faults.setFault, { fault: fault('slow-call', { $case: 'calls', value: { method, participant: '' } }) });
  await mesh.call(faults.setFault, { fault: fault('slow-stream', { $case: 'calls', value: { method: 'txmesh.coordinator.v1.CoordinatorService/ExecuteStream', participant: '' } }) });
  await mesh.call(faults.setFault, { fault: fault('slow-write', { $case: 'writes', value: { participant: 'inventory', partition: undefined } }) });
  const put = { participant: 'inventory', collection: 'c', key: 'k', value: Buffer.from('1'), contentType: '', precondition: undefined, mergePolicy: 0 as const, requestId: newId(), transaction: undefined };
  await mesh.call(keyvalue.put, put, undefined, { traceparent: TRACEPARENT });
  const stream = mesh.channels.duplex(mesh.nodes[0]!.address, coordinator.executeStream);
  const request = { transactionId: newId(), operations: [putOp('payments', 'k', '1')], timeout: undefined, firstTryTime: undefined, mode: 0 as const };
  stream.write({ calls: [{ sequence: 1, request, traceparent: TRACEPARENT, remaining: undefined }] });
  stream.end();
  const answers: ExecuteStreamResponse[] = [];
  for await (const answer of stream) answers.push(answer as ExecuteStreamResponse);
  expect(answers.flatMap(({ results }) => results)).toHaveLength(1);
  await mesh.close();
  await stop();

  const of = (name: string) => spans.find((span) => span.name === name && span.spanContext().traceId === TRACE);
  expect(of(method)!.attributes).toMatchObject({ 'txmesh.fault': 'slow-call' });
  expect(of(method)!.events).toMatchObject([{ name: 'txmesh.fault', attributes: { 'txmesh.fault.name': 'slow-call', 'txmesh.fault.effect': 'none' } }]);
  expect(of('fault slow-stream')!.attributes).toMatchObject({ 'txmesh.fault': 'slow-stream' });
  expect(of('write batch')!.attributes).toMatchObject({ 'txmesh.fault': 'slow-write', 'txmesh.service': 'inventory' });
});
