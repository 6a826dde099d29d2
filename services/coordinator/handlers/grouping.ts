/** From a transaction's operations to its branches: one for each partition of each participant. */

import type { Operation } from '../../gen/txmesh/common/v1/common.ts';
import type { BranchRequest } from '../../kernel/coordinator/types.ts';
import type { Failure } from '../../kernel/failure.ts';
import { partitionOf } from '../../kernel/hash.ts';
import type { OpaqueOperation } from '../../kernel/messages.ts';
import { serviceName, Violations } from '../../runtime/router/rules.ts';
import { LIMITS } from './validate.ts';

export interface GroupingOptions {
  /** How many partitions a participant has; undefined if there is none of this name. */
  partitions(participant: string): number | undefined;
  /** Type URLs of operations that only read: a branch of nothing else is read-only (invariant T11). */
  readonly readOnlyTypes: ReadonlySet<string>;
}

interface Growing extends BranchRequest {
  readOnly: boolean;
  readonly operations: OpaqueOperation[];
  bytes: number;
}

/** The branches in the order of their first operations, or why there can be none. */
export function groupOperations(operations: readonly Operation[], options: GroupingOptions): readonly BranchRequest[] | Failure {
  const branches: Growing[] = [];
  for (let i = 0; i < operations.length; i++) {
    const { participant, routingKey, operation } = operations[i]!;
    const count = options.partitions(participant);
    if (count === undefined) return unknownParticipant(participant, i);
    const partition = partitionOf(routingKey, count);
    let branch: Growing | undefined;
    for (const candidate of branches) {
      if (candidate.partition === partition && candidate.participant === participant) {
        branch = candidate;
        break;
      }
    }
    if (branch === undefined) {
      if (branches.length === LIMITS.branches) return tooManyBranches(i);
      branch = { participant, partition, readOnly: true, operations: [], bytes: 0 };
      branches.push(branch);
    }
    branch.operations.push(operation!);
    branch.bytes += encodedBytes(operation!);
    if (branch.bytes > LIMITS.branchBytes) return tooLarge(branch, i);
    if (branch.readOnly && !options.readOnlyTypes.has(operation!.typeUrl)) branch.readOnly = false;
  }
  return branches;
}

/** Size of the operation as an element of a repeated google.protobuf.Any. */
function encodedBytes({ typeUrl, value }: OpaqueOperation): number {
  const inner = fieldBytes(typeUrl.length) + (value.length === 0 ? 0 : fieldBytes(value.length));
  return fieldBytes(inner);
}

/** Tag, length and content of a length-delimited field. */
function fieldBytes(length: number): number {
  return 1 + (length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x200000 ? 3 : 4) + length;
}

function unknownParticipant(name: string, index: number): Failure {
  const found = new Violations();
  serviceName(name, `operations[${index}].participant`, found);
  if (found.failure !== undefined) return found.failure;
  const message = `no participant named "${name}" is known to this cluster`;
  return {
    reason: 'UNKNOWN_PARTICIPANT',
    message,
    violations: [{ field: `operations[${index}].participant`, description: message }],
    metadata: { participant: name },
  };
}

function tooManyBranches(index: number): Failure {
  const description =
    `begins branch ${LIMITS.branches + 1}, the limit of a transaction is ${LIMITS.branches} branches ` +
    '(partitions of participants)';
  return {
    reason: 'LIMIT_EXCEEDED',
    message: `operations[${index}] ${description}`,
    violations: [{ field: `operations[${index}]`, description }],
    metadata: { limit: 'branches', value: String(LIMITS.branches) },
  };
}

function tooLarge({ participant, partition }: BranchRequest, index: number): Failure {
  const description =
    `takes the branch at partition ${partition} of ${participant} over ${LIMITS.branchBytes} bytes, ` +
    'the limit of a branch when encoded';
  return {
    reason: 'LIMIT_EXCEEDED',
    message: `operations[${index}] ${description}`,
    violations: [{ field: `operations[${index}]`, description }],
    metadata: { limit: 'branch bytes', value: String(LIMITS.branchBytes) },
  };
}
