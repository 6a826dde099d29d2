/**
 * Prints every decision as it is made; goes on by itself when a server goes away.
 *
 *   npm run example -- watch [mesh address] [how many, then stop]
 *
 * runs it in a checkout; where the package is installed, `node watch.ts` does.
 */
import { connect, type Mesh, type TransactionEvent } from 'txmesh/client';

/** The decisions from the oldest that is kept on. */
export async function* decisions(mesh: Mesh, signal?: AbortSignal): AsyncGenerator<TransactionEvent> {
  for await (const event of mesh.watchTransactions({ fromStart: true, signal }))
    if (event.type === 'COMMIT' || event.type === 'FAIL') yield event;
}

if (import.meta.main) {
  const [address = '127.0.0.1:50051', count = 'Infinity'] = process.argv.slice(2);
  await using mesh = connect(address);
  let left = Number(count);
  for await (const { transaction, time } of decisions(mesh)) {
    const { transactionId, state, cause } = transaction;
    console.log(`${time?.toISOString() ?? ''} ${transactionId} ${state}${cause === undefined ? '' : `: ${cause.message}`}`);
    if (--left <= 0) break;
  }
}
