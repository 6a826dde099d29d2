/** Transactions that other handlers of this process run: through Execute, as any client would. */

import { type ExecuteRequest, type ExecuteResponse, Mode, State } from '../../gen/txmesh/coordinator/v1/coordinator.ts';
import type { Failure } from '../../kernel/failure.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { statusToFailure } from '../../runtime/errors/status.ts';
import type { Transactions } from '../../runtime/participant/transactions.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { toDuration } from '../../runtime/transport/time.ts';

interface Execute {
  execute(request: ExecuteRequest, context: CallContext): Promise<ExecuteResponse>;
}

export function transactionsOf(coordinator: Execute): Transactions {
  return {
    async execute({ transactionId, operations, timeoutMs }, context) {
      const { transaction } = await coordinator.execute(
        {
          transactionId,
          operations: operations.map(({ participant, routingKey, operation }) => ({
            participant,
            routingKey,
            operation: { typeUrl: operation.typeUrl, value: Buffer.from(operation.value) },
          })),
          timeout: timeoutMs === undefined ? undefined : toDuration(timeoutMs),
          firstTryTime: undefined,
          mode: Mode.TWO_PHASE_COMMIT,
        },
        context,
      );
      return outcomeOf(transaction);
    },
  };
}

/** Only these two states are outcomes (T4). */
function outcomeOf(transaction: ExecuteResponse['transaction']): Failure | undefined {
  switch (transaction?.state) {
    case State.COMMITTING:
    case State.COMMITTED:
      return undefined;
    case State.ABORTED:
      return transaction.cause === undefined
        ? { reason: 'ABORTED_BY_REQUEST', message: `transaction ${transaction.transactionId} is aborted` }
        : statusToFailure(transaction.cause);
    default:
      throw new FailureError({ reason: 'OUTCOME_UNKNOWN', message: 'the coordinator answered without an outcome; ask with the same id' });
  }
}
