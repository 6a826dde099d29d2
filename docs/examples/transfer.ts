/**
 * A bank transfer: both accounts change, or neither does, whatever happens in between.
 *
 *   npm run example -- transfer [mesh address] [from] [to] [amount]
 *
 * runs it in a checkout; where the package is installed, `node transfer.ts` does.
 */
import { connect, json, TransactionAborted, type Mesh } from 'txmesh/client';

interface Account {
  readonly balance: number;
}

/** Moves money, and returns both balances. Runs again by itself if an account changes meanwhile. */
export function transfer(mesh: Mesh, from: string, to: string, amount: number) {
  if (from === to) throw new Error(`${from} can't pay themselves: of two puts of one key the last counts, which would make money`);
  if (!(amount > 0)) throw new Error(`${amount} can't be moved: an amount is above 0`);
  return mesh.transaction(async (tx) => {
    const [payer, payee] = await Promise.all([tx.get('payments', 'accounts', from), tx.get('payments', 'accounts', to)]);
    const payerBalance = (payer?.json<Account>().balance ?? 0) - amount;
    const payeeBalance = (payee?.json<Account>().balance ?? 0) + amount;
    if (payerBalance < 0) throw new Error(`${from} has ${payerBalance + amount}, less than ${amount}`); // Nothing is sent.
    tx.put('payments', 'accounts', from, json({ balance: payerBalance }));
    tx.put('payments', 'accounts', to, json({ balance: payeeBalance }));
    tx.put('inventory', 'transfers', tx.id, json({ from, to, amount }), { precondition: 'absent' });
    return { payerBalance, payeeBalance };
  });
}

if (import.meta.main) {
  const [address = '127.0.0.1:50051', from = 'alice', to = 'bob', amount = '10'] = process.argv.slice(2);
  await using mesh = connect(address);
  const accounts = mesh.keyValue('payments').collection('accounts');
  for (const name of [from, to])
    await accounts.put(name, json({ balance: 100 }), { precondition: 'absent' }).catch((error: unknown) => {
      if (!(error instanceof TransactionAborted)) throw error; // The account is there already.
    });
  const { payerBalance, payeeBalance } = await transfer(mesh, from, to, Number(amount));
  console.log(`moved ${amount} from ${from} to ${to}: ${from} has ${payerBalance}, ${to} has ${payeeBalance}`);
}
