/** What each method of CoordinatorService needs; see runtime/security. */

import type { CoordinatorServiceService, ExecuteResult } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import { failureToStatus } from '../../runtime/errors/status.ts';
import type { AccessTable, MethodAccess, OperationTable } from '../../runtime/security/access.ts';
import { judgeOperations } from '../../runtime/security/operations.ts';

/** Transactions have no owner: whoever knows an id may go on with it. */
const plain: MethodAccess = { right: 'ordinary', about: [] };

const ofParticipant = (right: 'admin' | 'participate'): MethodAccess<{ readonly participant: string }> => ({
  right,
  about: ['participants'],
  judge: ({ participant }, judge) => judge.needsParticipant(participant),
});

/** @param operations of every kind of participant */
export function coordinatorAccess(operations: OperationTable): AccessTable<typeof CoordinatorServiceService> {
  return {
    execute: { ...plain, judge: (request, judge) => judgeOperations(operations, request.operations, judge) },
    executeStream: {
      ...plain,
      screen(frame, parts) {
        const results: ExecuteResult[] = [];
        const refused = new Set<unknown>();
        for (const call of frame.calls) {
          const { request } = call;
          const failure = request && parts.of((judge) => judgeOperations(operations, request.operations, judge));
          if (failure === undefined) continue;
          refused.add(call);
          results.push({ sequence: call.sequence, result: { $case: 'error', value: failureToStatus(failure) } });
        }
        if (results.length === 0) return { request: frame };
        const calls = frame.calls.filter((call) => !refused.has(call));
        return { request: calls.length === 0 ? undefined : { calls }, answer: { results } };
      },
      count: ({ calls }) => calls.length,
    },
    beginTransaction: plain,
    enlist: ofParticipant('participate'),
    commitTransaction: plain,
    abortTransaction: plain,
    getTransaction: plain,
    listTransactions: plain,
    watchTransactions: plain,
    retryTransaction: { ...plain, right: 'admin' },
    resolveTransaction: ofParticipant('admin'),
    inquire: ofParticipant('participate'),
  };
}
