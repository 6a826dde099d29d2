/** Branches between the wire and the resource manager, with the rules that they have to fulfil. */

import type { Mark } from '../../kernel/messages.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Attempt as WireAttempt } from '../../gen/txmesh/common/v1/common.ts';
import type { BranchId as WireBranch, PrepareRequest } from '../../gen/txmesh/participant/v1/participant.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import * as rules from '../../runtime/router/rules.ts';
import type { Branch } from './resource-manager.ts';

/** What a transaction may have, and so a branch. */
const MAX_OPERATIONS = 4_096;

const branchRule = rules.message<WireBranch>({
  clusterId: rules.anything,
  transactionId: rules.transactionId,
  attempt: rules.required(rules.attempt),
  coordinatorPartition: rules.partitionNumber,
  participant: rules.serviceName,
  partition: rules.partitionNumber,
});
const operationsRule = rules.list(1, MAX_OPERATIONS, rules.message<PrepareRequest['operations'][number]>({ typeUrl: rules.typeUrl, value: rules.anything }));

/** This participant, as its coordinators name it. */
export interface Identity {
  readonly name: string;
  readonly clusterId: string;
}

/** @throws FailureError */
export function demandCluster(identity: Identity, clusterId: string): void {
  if (clusterId === identity.clusterId) return;
  fail({
    reason: 'FOREIGN_CLUSTER',
    message: `participant ${identity.name} belongs to cluster ${identity.clusterId}, the message comes from ${clusterId || '(none)'}`,
  });
}

/** @throws FailureError */
export function branchFrom(identity: Identity, wire: WireBranch | undefined): Branch {
  if (wire === undefined) return fail(invalid('branch', 'must be set'));
  const found = new rules.Violations();
  branchRule(wire, 'branch', found);
  if (found.failure !== undefined) return fail(found.failure);
  const { transactionId, attempt, coordinatorPartition, participant, partition } = wire;
  if (participant !== identity.name) {
    return fail({ reason: 'UNKNOWN_PARTICIPANT', message: `participant ${identity.name} serves here, not ${participant}` });
  }
  if (partition !== 0) return fail({ reason: 'WRONG_PARTITION', message: `participant ${participant} has one partition, not ${partition + 1}` });
  const { epoch, counter } = attempt!;
  return { transactionId, attempt: { epoch, counter }, coordinatorPartition, participant, partition };
}

/** Why the operations can't be prepared here, if so. */
export function refusalOf({ operations, workspaceAttempt }: PrepareRequest): Failure | undefined {
  if (workspaceAttempt !== undefined)
    return { reason: 'WORKSPACE_LOST', message: 'this participant takes no part in interactive transactions' };
  const found = new rules.Violations();
  operationsRule(operations, 'operations', found);
  return found.failure;
}

export function markFrom(coordinatorPartition: number, lowWaterMark: WireAttempt | undefined): Mark | undefined {
  if (lowWaterMark === undefined) return undefined;
  const { epoch, counter } = lowWaterMark;
  return { coordinatorPartition, lowWaterMark: { epoch, counter } };
}

/** @param clusterId empty within a frame, which has it itself */
export function toWire(branch: Branch, clusterId: string): WireBranch {
  return { clusterId, ...branch };
}

export function invalid(field: string, description: string): Failure {
  return { reason: 'INVALID_FIELD', message: `${field} ${description}`, violations: [{ field, description }] };
}

function fail(failure: Failure): never {
  throw new FailureError(failure);
}
