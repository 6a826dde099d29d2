/**
 * Measures an Exchange link on loopback, both ends in this process: messages a second and CPU time a
 * message, with so many outstanding. Also strict decoding against plain decoding. Not a test:
 *
 *     node services/runtime/transport/testing/measure-links.ts
 */

import type { ToCoordinator, ToParticipant } from '../../../kernel/messages.ts';
import { ExchangeRequest } from '../../../gen/txmesh/participant/v1/participant.ts';
import { PutRequest } from '../../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { systemClock } from '../../clock.ts';
import type { ClusterView } from '../../cluster/view.ts';
import { Channels } from '../channels.ts';
import { strict } from '../decode.ts';
import { Links, participantService, type LinkCommand } from '../links/index.ts';
import { decodeRequestFrame } from '../links/decode-codec.ts';
import { encodeRequestFrame } from '../links/encode-codec.ts';
import { MeshServer } from '../server.ts';
import type { Handlers } from '../service.ts';

const SECONDS = 3;
const branch = {
  transactionId: '0198c0de-0000-7000-8000-000000000001',
  attempt: { epoch: 123_456, counter: 987_654 },
  coordinatorPartition: 3,
  participant: 'inventory',
  partition: 5,
};
const prepare: ToParticipant = {
  type: 'prepare',
  branch,
  operations: [{ typeUrl: 'type.googleapis.com/txmesh.keyvalue.v1.PutOperation', value: new Uint8Array(140) }],
  firstTryMs: Date.now(),
  deadlineMs: Date.now() + 10_000,
  readOnly: false,
};

async function measureLink(outstanding: number): Promise<void> {
  const server = new MeshServer({ clock: systemClock, entropy: Math.random, log: () => undefined });
  server.add(participantService(systemClock), { exchange: (call, context) => right.exchange(call, context) } as Handlers<
    ReturnType<typeof participantService>
  >);
  const address = `127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
  const channels = new Channels({ clock: systemClock });
  let votes = 0;
  const leader = { replica: 'there', address, epoch: 1 };
  // The participant's replies take the stream, because its coordinator partition is led "elsewhere".
  const participantTerm = {
    epoch: 1,
    submit(command: LinkCommand): undefined {
      if (command.type === 'message' && command.message.type === 'prepare')
        right.toCoordinator({ type: 'vote', branch: command.message.branch, vote: 'yes' });
    },
  };
  const coordinatorTerm = {
    epoch: 1,
    submit(command: LinkCommand): undefined {
      if (command.type !== 'message' || (command.message as ToCoordinator).type !== 'vote') return;
      votes++;
      left.toParticipant(prepare);
    },
  };
  const view = {
    leader: () => leader,
    services: new Map(),
    members: new Map([['there', { replica: 'there', address, services: [] }]]),
    externals: new Map(),
    service: () => undefined,
    onChange: () => () => undefined,
  } as unknown as ClusterView;
  const common = {
    clusterId: 'c',
    view,
    channels,
    clock: systemClock,
    entropy: Math.random,
    log: () => undefined,
    decodeOperations: (_: string, operations: readonly unknown[]) => operations,
  };
  const left: Links = new Links({ ...common, address: 'left', term: (service) => (service === 'coordinator' ? coordinatorTerm : undefined) });
  const right: Links = new Links({ ...common, address, term: (service) => (service === 'coordinator' ? undefined : participantTerm) });
  for (let i = 0; i < outstanding; i++) left.toParticipant(prepare);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  const start = votes;
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
  const { user, system } = process.cpuUsage(cpu);
  const messages = (votes - start) * 2;
  const perSecond = messages / ((performance.now() - startMs) / 1000);
  console.log(
    `${outstanding} outstanding: ${Math.round(perSecond)} messages/s, ${((user + system) / messages).toFixed(2)} µs of CPU a message (both ends)`,
  );
  left.close();
  right.close();
  channels.close();
  await server.close(0);
}

function measureDecode(name: string, decode: () => void): void {
  for (let i = 0; i < 50_000; i++) decode();
  const rounds = 300_000;
  const startMs = performance.now();
  for (let i = 0; i < rounds; i++) decode();
  console.log(`${name}: ${(((performance.now() - startMs) / rounds) * 1000).toFixed(2)} µs`);
}

const put = Buffer.from(
  PutRequest.encode({
    ...PutRequest.decode(new Uint8Array()),
    participant: 'inventory',
    collection: 'stock',
    key: 'warehouse-7/article-0815-4711-abcdef-0123456789',
    value: new Uint8Array(100),
    contentType: 'application/json',
  }).finish(),
);
const strictPut = strict((bytes: Buffer) => PutRequest.decode(bytes));
measureDecode('PutRequest, plain', () => PutRequest.decode(put));
measureDecode('PutRequest, strict', () => strictPut(put));
const frame = encodeRequestFrame({ clusterId: 'c', marks: [], messages: Array<ToParticipant>(10).fill(prepare) }, Date.now());
const generated = ExchangeRequest.decode(frame);
measureDecode('frame of 10 prepares, generated decode', () => void ExchangeRequest.decode(frame));
measureDecode('frame of 10 prepares, own decode', () => void decodeRequestFrame(frame, 0));
measureDecode('frame of 10 prepares, generated encode', () => void ExchangeRequest.encode(generated).finish());
measureDecode('frame of 10 prepares, own encode', () => void encodeRequestFrame({ clusterId: 'c', marks: [], messages: Array<ToParticipant>(10).fill(prepare) }, 0));
for (const outstanding of [1, 64, 1024]) await measureLink(outstanding);
