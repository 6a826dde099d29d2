/**
 * A mesh for tests of its clients: a real gRPC server on loopback that speaks the protos, keeps keys in
 * a map and decides at once. Every method can be replaced, to lose answers or refuse.
 */

import * as grpc from '@grpc/grpc-js';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { ClusterServiceService, Service_Kind, type Cluster } from '../../services/gen/txmesh/cluster/v1/cluster.ts';
import type { Operation } from '../../services/gen/txmesh/common/v1/common.ts';
import {
  CoordinatorServiceService,
  State,
  type ExecuteRequest,
  type ExecuteStreamRequest,
  type ExecuteStreamResponse,
  type Transaction,
} from '../../services/gen/txmesh/coordinator/v1/coordinator.ts';
import {
  CheckOperation,
  ConflictDetail,
  DeleteOperation,
  KeyValueServiceService,
  PutOperation,
  type Entry,
  type ExecuteLocalRequest,
  type GetRequest,
  type Precondition,
} from '../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Failure } from '../../services/kernel/failure.ts';
import { CounterServiceService } from '../../services/gen/txmesh/counter/v1/counter.ts';
import { QueueServiceService } from '../../services/gen/txmesh/queue/v1/queue.ts';
import { failureToStatus } from '../../services/runtime/errors/status.ts';
import { FakeCounter } from './fake-counter.ts';
import { FakeQueue } from './fake-queue.ts';
import { unary } from './unary.ts';

export { unary };

export const CLUSTER_ID = '0b5e7b1e-30c5-4a3e-9d0a-0123456789ab';

/** What a fake does with one Execute: answers, or fails, or (undefined) never answers. */
export type Executed = { readonly outcome: Transaction } | { readonly failure: Failure } | undefined;

export class FakeMesh {
  readonly executed: ExecuteRequest[] = [];
  readonly local: ExecuteLocalRequest[] = [];
  readonly aborted: string[] = [];
  /** How many frames came in on ExecuteStreams, and which traceparents. */
  frames = 0;
  readonly traceparents: string[] = [];
  readonly entries = new Map<string, Entry>();
  readonly outcomes = new Map<string, Transaction>();
  readonly queue = new FakeQueue();
  readonly counter = new FakeCounter();
  revision = 0;
  address = '';
  /** Comes before the fake's own decision. 'own' asks for that. */
  onExecute: (request: ExecuteRequest, stream: grpc.ServerDuplexStream<ExecuteStreamRequest, ExecuteStreamResponse> | undefined) => Executed | 'own' = () => 'own';
  onLocal: (request: ExecuteLocalRequest) => Failure | 'own' = () => 'own';
  /** After a key was read, before it is answered. */
  onGet: (request: GetRequest) => void = () => undefined;
  private server = new grpc.Server();
  private readonly overrides: { readonly [name: string]: grpc.UntypedHandleCall };

  private constructor(overrides: { readonly [name: string]: grpc.UntypedHandleCall }) {
    this.overrides = overrides;
  }

  /** @param overrides methods by their names, "watchTransactions" */
  static async start(overrides: { readonly [name: string]: grpc.UntypedHandleCall } = {}): Promise<FakeMesh> {
    const mesh = new FakeMesh(overrides);
    await mesh.listen(0);
    return mesh;
  }

  /** Breaks all connections and refuses new ones. */
  stop(): void {
    this.server.forceShutdown();
  }

  /** After `stop`, at the same address. */
  async restart(): Promise<void> {
    this.server = new grpc.Server();
    await this.listen(Number(this.address.split(':')[1]));
  }

  cluster(): Cluster {
    const partitions = (count: number) =>
      Array.from({ length: count }, (_, number) => ({ number, address: this.address, epoch: 1 }));
    return {
      clusterId: CLUSTER_ID,
      hash: 'fnv1a-32',
      services: [
        { name: 'coordinator', kind: Service_Kind.COORDINATOR, partitions: partitions(4) },
        { name: 'inventory', kind: Service_Kind.KEY_VALUE, partitions: partitions(4) },
        { name: 'payments', kind: Service_Kind.KEY_VALUE, partitions: partitions(1) },
        { name: 'queue', kind: Service_Kind.EXTERNAL, partitions: partitions(1) },
        { name: 'counter', kind: Service_Kind.EXTERNAL, partitions: partitions(4) },
      ],
    };
  }

  /** Writes a key, as somebody else would. */
  set(participant: string, collection: string, key: string, value: string): void {
    this.write(participant, { collection, key, value: Buffer.from(value), contentType: '' }, ++this.revision);
  }

  text(participant: string, collection: string, key: string): string | undefined {
    const entry = this.entries.get(`${participant}/${collection}/${key}`);
    return entry === undefined || entry.absent ? undefined : Buffer.from(entry.value).toString();
  }

  /** The fake's own decision: idempotent by id, all or nothing. */
  decide(transactionId: string, operations: readonly Operation[]): Transaction {
    const known = this.outcomes.get(transactionId);
    if (known !== undefined) return known;
    const conflict = operations.map((operation) => this.conflictOf(operation)).find((found) => found !== undefined);
    const outcome = conflict === undefined ? transactionOf(transactionId, State.COMMITTED) : aborted(transactionId, conflict);
    if (conflict === undefined) {
      this.revision++;
      for (const operation of operations) this.apply(operation);
    }
    this.outcomes.set(transactionId, outcome);
    return outcome;
  }

  private async listen(port: number): Promise<void> {
    this.server.addService(CoordinatorServiceService, this.implementation(this.coordinator()));
    this.server.addService(KeyValueServiceService, this.implementation(this.keyValue()));
    this.server.addService(QueueServiceService, this.queue.implementation());
    this.server.addService(CounterServiceService, this.counter.implementation());
    this.server.addService(ClusterServiceService, this.implementation(this.clusterService()));
    const bound = await new Promise<number>((resolve, reject) =>
      this.server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error, actual) =>
        error === null ? resolve(actual) : reject(error),
      ),
    );
    this.address = `127.0.0.1:${bound}`;
  }

  private implementation(own: UntypedServiceImplementation): UntypedServiceImplementation {
    return Object.fromEntries(Object.entries(own).map(([name, handler]) => [name, this.overrides[name] ?? handler]));
  }

  private coordinator(): UntypedServiceImplementation {
    const unimplemented = unary(() => ({ failure: { reason: 'INTERNAL', message: 'the fake does not do this' } }));
    const names = Object.keys(CoordinatorServiceService);
    return {
      ...Object.fromEntries(names.map((name) => [name, unimplemented])),
      execute: unary((request: ExecuteRequest) => {
        this.executed.push(request);
        const executed = this.execute(request, undefined);
        return executed === undefined || 'failure' in executed ? executed : { response: { transaction: executed.outcome } };
      }),
      executeStream: (stream: grpc.ServerDuplexStream<ExecuteStreamRequest, ExecuteStreamResponse>) => {
        stream.on('data', ({ calls }: ExecuteStreamRequest) => {
          this.frames++;
          const results: ExecuteStreamResponse['results'] = [];
          for (const { sequence, request, traceparent } of calls) {
            this.executed.push(request!);
            this.traceparents.push(traceparent);
            const executed = this.execute(request!, stream);
            if (executed === undefined) continue;
            results.push({
              sequence,
              result:
                'failure' in executed
                  ? { $case: 'error', value: failureToStatus(executed.failure) }
                  : { $case: 'response', value: { transaction: executed.outcome } },
            });
          }
          if (results.length > 0) stream.write({ results });
        });
        stream.on('end', () => stream.end());
        stream.on('error', () => undefined);
      },
      beginTransaction: unary(({ transactionId }: { transactionId: string }) => ({
        response: { transactionId, attempt: { epoch: 1, counter: 1 } },
      })),
      abortTransaction: unary(({ transactionId }: { transactionId: string }) => {
        this.aborted.push(transactionId);
        const transaction = this.outcomes.get(transactionId) ?? aborted(transactionId, { reason: 'ABORTED_BY_REQUEST', message: 'aborted' });
        this.outcomes.set(transactionId, transaction);
        return { response: { transaction } };
      }),
      getTransaction: unary(({ transactionId }: { transactionId: string }) => {
        const transaction = this.outcomes.get(transactionId);
        return transaction === undefined
          ? { failure: { reason: 'TRANSACTION_NOT_FOUND', message: `${transactionId} is not known` } }
          : { response: { transaction } };
      }),
    };
  }

  private execute(request: ExecuteRequest, stream: grpc.ServerDuplexStream<ExecuteStreamRequest, ExecuteStreamResponse> | undefined): Executed {
    const executed = this.onExecute(request, stream);
    return executed === 'own' ? { outcome: this.decide(request.transactionId, request.operations) } : executed;
  }

  private keyValue(): UntypedServiceImplementation {
    const unimplemented = unary(() => ({ failure: { reason: 'INTERNAL', message: 'the fake does not do this' } }));
    return {
      ...Object.fromEntries(Object.keys(KeyValueServiceService).map((name) => [name, unimplemented])),
      get: unary((request: GetRequest) => {
        const { participant, collection, key } = request;
        const entry = this.entries.get(`${participant}/${collection}/${key}`) ?? absentEntry(collection, key, 0);
        this.onGet(request);
        return { response: { entry } };
      }),
      executeLocal: unary((request: ExecuteLocalRequest) => {
        this.local.push(request);
        const failure = this.onLocal(request);
        if (failure !== 'own') return { failure };
        const conflict = request.operations.map((operation) => this.conflictOf(operation)).find((found) => found !== undefined);
        if (conflict !== undefined && !this.outcomes.has(request.transactionId)) return { failure: conflict };
        this.decide(request.transactionId, request.operations);
        return { response: { revision: this.revision } };
      }),
    };
  }

  private clusterService(): UntypedServiceImplementation {
    return {
      getCluster: unary(() => ({ response: { cluster: this.cluster() } })),
      watchCluster: (stream: grpc.ServerWritableStream<unknown, unknown>) => void stream.write({ cluster: this.cluster() }),
      registerParticipant: unary(() => ({
        response: { registrationId: 'registration-1', clusterId: CLUSTER_ID, timeToLive: { seconds: 10n, nanos: 0 } },
      })),
    };
  }

  private conflictOf(wanted: Operation): Failure | undefined {
    const { participant, operation } = wanted;
    if (participant === 'queue') return this.queue.conflictOf(wanted);
    if (participant === 'counter') return undefined;
    const { collection, key, precondition } = decode(operation!);
    const current = this.entries.get(`${participant}/${collection}/${key}`) ?? absentEntry(collection, key, 0);
    const expected = brokenBy(precondition, current);
    if (expected === undefined) return undefined;
    const detail = ConflictDetail.encode({ participant, collection, key, expected, current, conflictingFields: [] }).finish();
    const typeUrl = 'type.googleapis.com/txmesh.keyvalue.v1.ConflictDetail';
    return { reason: 'PRECONDITION_FAILED', message: `${key} is not ${expected}`, detail: { typeUrl, value: detail } };
  }

  private apply(wanted: Operation): void {
    const { participant, operation } = wanted;
    if (participant === 'queue') this.queue.apply(wanted);
    else if (participant === 'counter') this.counter.apply(wanted);
    else if (operation!.typeUrl.endsWith('PutOperation')) this.write(participant, PutOperation.decode(operation!.value), this.revision);
    else if (operation!.typeUrl.endsWith('DeleteOperation')) {
      const { collection, key } = DeleteOperation.decode(operation!.value);
      this.entries.set(`${participant}/${collection}/${key}`, absentEntry(collection, key, this.revision));
    }
  }

  private write(participant: string, { collection, key, value, contentType }: Pick<PutOperation, 'collection' | 'key' | 'value' | 'contentType'>, version: number): void {
    this.entries.set(`${participant}/${collection}/${key}`, { collection, key, value, contentType, version, absent: false, updateTime: undefined });
  }
}

export function transactionOf(transactionId: string, state: State): Transaction {
  return { transactionId, state, mode: 1, attempt: { epoch: 1, counter: 1 }, branches: [], cause: undefined, decideTime: undefined, mixed: false };
}

export function aborted(transactionId: string, cause: Failure): Transaction {
  return { ...transactionOf(transactionId, State.ABORTED), cause: failureToStatus(cause) };
}

function absentEntry(collection: string, key: string, version: number): Entry {
  return { collection, key, value: new Uint8Array(), contentType: '', version, absent: true, updateTime: undefined };
}

function decode({ typeUrl, value }: { typeUrl: string; value: Uint8Array }): CheckOperation {
  if (typeUrl.endsWith('PutOperation')) return PutOperation.decode(value);
  if (typeUrl.endsWith('DeleteOperation')) return DeleteOperation.decode(value);
  if (typeUrl.endsWith('CheckOperation')) return CheckOperation.decode(value);
  return { collection: '', key: '', precondition: undefined };
}

function brokenBy(precondition: Precondition | undefined, current: Entry): string | undefined {
  const condition = precondition?.condition;
  switch (condition?.$case) {
    case 'absent':
      return current.absent ? undefined : 'absent';
    case 'version':
      return current.version === Number(condition.value) ? undefined : `version ${condition.value}`;
    case 'any':
    case undefined:
      return undefined;
  }
}
