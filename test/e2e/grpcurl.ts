/** The mesh as its operator asks it: by grpcurl, through a port-forward. */

import { mkdirSync, symlinkSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { forwardPort, run } from './kubectl.ts';

const CALL_BOUND_MS = 30_000;

export class Grpcurl {
  /** Flags in place of -plaintext. */
  readonly tls: string;
  /** With grpcurl on PATH. */
  readonly env: NodeJS.ProcessEnv;

  /** @param folder with ca.crt, tls.crt and tls.key; a link to grpcurl is put there. */
  constructor(folder: string, program: string) {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    if (isAbsolute(program)) symlinkSync(program, join(bin, 'grpcurl'));
    const file = (name: string): string => join(folder, name);
    this.tls = `-cacert ${file('ca.crt')} -cert ${file('tls.crt')} -key ${file('tls.key')}`;
    this.env = { PATH: `${bin}${delimiter}${process.env['PATH']}` };
  }

  /** Calls a method at any coordinator. @returns the response */
  async call<Response>(method: string, request: object = {}, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    const forward = await forwardPort('service/coordinator', 50051);
    try {
      const args = [...this.tls.split(' '), ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]), '-d', '@', forward.address, method];
      return JSON.parse(await run('grpcurl', args, { env: this.env, input: JSON.stringify(request), boundMs: CALL_BOUND_MS })) as Response;
    } finally {
      forward.close();
    }
  }

  /** Executes a transaction. @throws where it does not commit */
  async execute(operations: readonly object[], headers: Readonly<Record<string, string>> = {}): Promise<void> {
    const { transaction } = await this.call<{ transaction: { state: string } }>('txmesh.coordinator.v1.CoordinatorService/Execute', { operations }, headers);
    if (!['STATE_COMMITTING', 'STATE_COMMITTED'].includes(transaction.state)) throw new Error(`a transaction is ${JSON.stringify(transaction)}`);
  }
}

/** An operation of a transaction. @param type below the package txmesh: `keyvalue.v1.PutOperation` */
export const operationOf = (participant: string, routingKey: string, type: string, fields: object): object => ({
  participant,
  routingKey,
  operation: { '@type': `type.googleapis.com/txmesh.${type}`, ...fields },
});

interface Cluster {
  readonly cluster: { readonly services: readonly { readonly name: string; readonly partitions: readonly { readonly address?: string }[] }[] };
}

/** How many partitions each pod leads, of all services; '' where nobody leads. */
export async function leadersOf(grpcurl: Grpcurl): Promise<Map<string, number>> {
  const { cluster } = await grpcurl.call<Cluster>('txmesh.cluster.v1.ClusterService/GetCluster');
  const leaders = new Map<string, number>();
  for (const { partitions } of cluster.services)
    for (const { address: leader = '' } of partitions) {
      const pod = leader.split('.')[0]!;
      leaders.set(pod, (leaders.get(pod) ?? 0) + 1);
    }
  return leaders;
}

/** Every participant of deploy/base. */
const PARTICIPANTS = ['inventory', 'payments', 'queue', 'counter'];

interface Prepared {
  readonly branches?: readonly { readonly branch: { readonly transactionId: string } }[];
}

/** Branches that wait for an outcome, in words; empty when there are none. */
export async function inDoubt(grpcurl: Grpcurl): Promise<string[]> {
  const found: string[] = [];
  for (const participant of PARTICIPANTS) {
    const { branches = [] } = await grpcurl.call<Prepared>('txmesh.participant.v1.ParticipantService/ListPrepared', { participant, pageSize: 1000 });
    for (const { branch } of branches) found.push(`${branch.transactionId} is in doubt at ${participant}`);
  }
  return found;
}
