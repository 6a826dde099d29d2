/** From a request to the command that carries it out. */

import type { ExecuteRequest } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Execute } from '../../kernel/coordinator/types.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Origin } from '../../kernel/kernel.ts';
import { idTimeMs } from '../../kernel/transaction-id.ts';
import { COORDINATOR } from '../../runtime/cluster/view.ts';
import { durationMs, timestampMs } from '../../runtime/transport/time.ts';
import { fingerprintOf } from './fingerprint.ts';
import { groupOperations, type GroupingOptions } from './grouping.ts';
import type { CoordinatorServices } from './service.ts';

const MODE = 'two-phase-commit';

/** Longest time to decide where neither the request nor its call says otherwise, milliseconds. */
export const DEFAULT_TIMEOUT_MS = 30_000;

/** A transaction is given up this long before its caller, so that the caller still hears that it was. */
const NOTICE_PART = 0.1;
const LONGEST_NOTICE_MS = 50;

/** When a transaction must be decided, wall time in milliseconds. */
export function decisionDeadlineMs(timeout: ExecuteRequest['timeout'], callerMs: number, nowMs: number): number {
  const leftMs = callerMs - nowMs;
  const byCallerMs = callerMs - Math.min(LONGEST_NOTICE_MS, leftMs * NOTICE_PART);
  return Math.min(nowMs + (timeout === undefined ? DEFAULT_TIMEOUT_MS : durationMs(timeout)), byCallerMs);
}

/** Age in lock conflicts: of the first try, or of the id. */
export function firstTryMs(time: ExecuteRequest['firstTryTime'], transactionId: string): number {
  return time === undefined ? idTimeMs(transactionId) : timestampMs(time);
}

/** Plans requests whose form was found right. */
export class Planner {
  private readonly grouping: GroupingOptions;

  constructor({ view, readOnlyTypes }: Pick<CoordinatorServices, 'view' | 'readOnlyTypes'>) {
    this.grouping = {
      readOnlyTypes,
      partitions: (name) => {
        const service = view.service(name);
        return service === undefined || service.name === COORDINATOR ? undefined : service.partitions;
      },
    };
  }

  /**
   * @param callerMs when the caller stops waiting, wall time; Infinity: never.
   * @returns a failure if there can be no such transaction.
   */
  execute(
    request: ExecuteRequest,
    transactionId: string,
    origin: Origin,
    callerMs: number,
    nowMs: number,
    trace: string | undefined,
  ): Execute | Failure {
    const branches = groupOperations(request.operations, this.grouping);
    if ('reason' in branches) return branches;
    return {
      type: 'execute',
      origin,
      transactionId,
      fingerprint: fingerprintOf(MODE, request.operations),
      mode: MODE,
      branches,
      firstTryMs: firstTryMs(request.firstTryTime, transactionId),
      deadlineMs: decisionDeadlineMs(request.timeout, callerMs, nowMs),
      trace,
    };
  }
}
