/** Transfers move money and never make any: the sum over all accounts stays what it was. */

import { decodeValue, type History } from '../history.ts';

/** @param opening what an account that was never written holds */
export function checkBalances(history: History, accounts: readonly string[], opening: number): string[] {
  if (history.forced.size > 0) return [];
  const balances = accounts.map((name) => {
    const last = history.versionsOf(name).reduce<{ version: number; value: string } | undefined>(
      (latest, version) => (latest === undefined || version.version > latest.version ? version : latest),
      undefined,
    );
    return last === undefined ? opening : (decodeValue(last.value).balance ?? NaN);
  });
  const sum = balances.reduce((a, b) => a + b, 0);
  return sum === opening * accounts.length ? [] : [`the accounts hold ${sum}, not ${opening * accounts.length}`];
}
