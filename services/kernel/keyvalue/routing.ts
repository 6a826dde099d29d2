/** Which part of a key decides its partition. */

/**
 * The part between the first '{' and the next '}', if it is not empty; else the whole key. So keys that
 * belong together can be kept in one partition, where a transaction needs no coordinator.
 */
export function routingKeyOf(key: string): string {
  const open = key.indexOf('{');
  if (open < 0) return key;
  const close = key.indexOf('}', open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}
