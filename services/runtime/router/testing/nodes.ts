/** Nodes of a mesh over one memory store, called over gRPC on loopback. For tests. */

import { randomUUIDv7 } from 'node:crypto';
import * as grpc from '@grpc/grpc-js';
import { PutOperation, CheckOperation, DeleteOperation, type Precondition } from '../../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import type { Operation } from '../../../gen/txmesh/common/v1/common.ts';
import { startNode, type Node, type NodePorts, type NodeSettings } from '../../../mesh.ts';
import { systemClock } from '../../clock.ts';
import { FailureError } from '../../errors/failure-error.ts';
import type { Failure } from '../../../kernel/failure.ts';
import { MemoryStore } from '../../store/memory.ts';
import { Channels, type CallOptions, type Method } from '../../transport/channels.ts';

export const PARTICIPANTS = ['inventory', 'payments'];

export interface Meshed {
  readonly store: MemoryStore;
  readonly nodes: Node[];
  readonly channels: Channels;
  /** Lines that nodes logged. */
  readonly log: string[];
  /** Starts one more. */
  add(settings?: Partial<NodeSettings>, ports?: Partial<NodePorts>): Promise<Node>;
  /** One unary call to a node, the first if none is named. */
  call<Request, Response>(method: Method<Request, Response>, request: Request, node?: Node, options?: CallOptions): Promise<Response>;
  close(): Promise<void>;
}

export async function startMesh(settings: Partial<NodeSettings> = {}, count = 1, ports: Partial<NodePorts> = {}): Promise<Meshed> {
  const store = new MemoryStore(systemClock);
  const channels = new Channels({ clock: systemClock });
  const log: string[] = [];
  const mesh: Meshed = {
    store,
    nodes: [],
    channels,
    log,
    async add(more = {}, morePorts = {}) {
      const node = await startNode(
        { host: '127.0.0.1', port: 0, coordinator: true, participants: PARTICIPANTS, leaseTtlMs: 2000, ...settings, ...more },
        { store, closesStore: false, log: (message, fields) => void log.push(`${message} ${JSON.stringify(fields)}`), ...ports, ...morePorts },
      );
      mesh.nodes.push(node);
      return node;
    },
    call: (method, request, node, options) => channels.unary((node ?? mesh.nodes[0]!).address, method, request, options),
    async close() {
      channels.close();
      await Promise.all(mesh.nodes.map((node) => node.drain(1000)));
      await store.close();
    },
  };
  for (let i = 0; i < count; i++) await mesh.add();
  await Promise.all(mesh.nodes.map((node) => node.ready()));
  return mesh;
}

/** What a call was refused with. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    if (error instanceof FailureError) return error.failure;
    throw error;
  }
  throw new Error('the call was expected to fail');
}

export const newId = (): string => randomUUIDv7();

const COLLECTION = 'stock';
const PREFIX = 'type.googleapis.com/txmesh.keyvalue.v1.';

function operation(participant: string, key: string, typeUrl: string, value: Uint8Array): Operation {
  return { participant, routingKey: key, operation: { typeUrl: PREFIX + typeUrl, value: Buffer.from(value) } };
}

export const VERSION = (version: number): Precondition => ({ condition: { $case: 'version', value: BigInt(version) } });
export const ABSENT: Precondition = { condition: { $case: 'absent', value: true } };

export function putOp(participant: string, key: string, value: string, precondition?: Precondition): Operation {
  const put = { collection: COLLECTION, key, value: Buffer.from(value), contentType: '', precondition, mergePolicy: 0 as const };
  return operation(participant, key, 'PutOperation', PutOperation.encode(put).finish());
}

export function deleteOp(participant: string, key: string): Operation {
  return operation(participant, key, 'DeleteOperation', DeleteOperation.encode({ collection: COLLECTION, key, precondition: undefined }).finish());
}

export function checkOp(participant: string, key: string, precondition: Precondition): Operation {
  return operation(participant, key, 'CheckOperation', CheckOperation.encode({ collection: COLLECTION, key, precondition }).finish());
}

/** Takes the values of a stream until one is what is waited for. */
export async function until<T>(stream: AsyncIterator<T>, found: (value: T) => boolean): Promise<T[]> {
  const seen: T[] = [];
  for (;;) {
    const next = await stream.next();
    if (next.done === true) throw new Error(`the stream ended after ${seen.length} values`);
    seen.push(next.value);
    if (found(next.value)) return seen;
  }
}

export { grpc };
