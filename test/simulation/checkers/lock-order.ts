/** Wait-die (invariant K3): whoever waits is older than whom it waits for. */

export interface Aged {
  readonly firstTryMs: number;
  readonly transactionId: string;
}

export function checkLockOrder(edges: readonly (readonly [waiter: Aged, waitsFor: Aged])[]): string[] {
  return edges
    .filter(([waiter, waitsFor]) => !isOlder(waiter, waitsFor))
    .map(([waiter, waitsFor]) => `${waiter.transactionId} waits for ${waitsFor.transactionId}, which is older (K3)`);
}

function isOlder(a: Aged, b: Aged): boolean {
  return a.firstTryMs < b.firstTryMs || (a.firstTryMs === b.firstTryMs && a.transactionId < b.transactionId);
}
