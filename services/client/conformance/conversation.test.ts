import * as grpc from '@grpc/grpc-js';
import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { ParticipantServiceService as methods } from '../../gen/txmesh/participant/v1/participant.ts';
import { newTransactionId } from '../ids.ts';
import { until } from '../testing/test-environment.ts';
import { Coordinator } from './conversation.ts';

afterEach(() => vi.useRealTimers());

test('a participant that keeps the stream of a foreign cluster is not waited for for ever', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let received = 0;
  const server = new grpc.Server();
  const exchange = ((call: grpc.ServerDuplexStream<unknown, unknown>) => {
    call.on('data', () => received++);
    call.on('error', () => undefined);
  }) as grpc.handleBidiStreamingCall<unknown, unknown>;
  server.addService({ exchange: methods.exchange }, { exchange });
  onTestFinished(() => server.forceShutdown());
  const port = await new Promise<number>((resolve) => server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (_, bound) => resolve(bound)));
  const coordinator = new Coordinator({ address: `127.0.0.1:${port}`, participant: 'ledger', clusterId: 'own', coordinatorPartition: 0 });
  onTestFinished(() => coordinator.close());
  const branch = { transactionId: newTransactionId(), attempt: { epoch: 1, counter: 1 }, coordinatorPartition: 0, participant: 'ledger', partition: 0 };
  const answer = coordinator.overStream().prepareFromForeignCluster(branch, []);
  await until(() => received === 1);
  vi.advanceTimersByTime(10_000);
  expect(await answer).toBe('no end of the stream in 10000 ms');
});
