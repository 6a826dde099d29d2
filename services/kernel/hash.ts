/**
 * Routing: which partition a key belongs to. The hash's name and the partition counts are recorded
 * when a cluster is created; everybody who routes checks them (invariant P6).
 */

/** Recorded in the cluster record and sent with the cluster map. */
export const HASH_NAME = 'fnv1a-32';

/** FNV-1a, 32 bits, over the UTF-8 bytes (http://www.isthe.com/chongo/tech/comp/fnv/, as of 2012). */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      hash = Math.imul(hash ^ code, 0x01000193);
      continue;
    }
    if (code >= 0xd800 && code < 0xdc00 && i + 1 < text.length) {
      code = 0x10000 + ((code - 0xd800) << 10) + (text.charCodeAt(++i) - 0xdc00);
      hash = Math.imul(hash ^ (0xf0 | (code >> 18)), 0x01000193);
      hash = Math.imul(hash ^ (0x80 | ((code >> 12) & 0x3f)), 0x01000193);
    } else if (code >= 0x800) {
      hash = Math.imul(hash ^ (0xe0 | (code >> 12)), 0x01000193);
    } else {
      hash = Math.imul(hash ^ (0xc0 | (code >> 6)), 0x01000193);
      hash = Math.imul(hash ^ (0x80 | (code & 0x3f)), 0x01000193);
      continue;
    }
    hash = Math.imul(hash ^ (0x80 | ((code >> 6) & 0x3f)), 0x01000193);
    hash = Math.imul(hash ^ (0x80 | (code & 0x3f)), 0x01000193);
  }
  return hash >>> 0;
}

/** The partition of a routing key among `partitions`, at least 1. */
export function partitionOf(routingKey: string, partitions: number): number {
  return fnv1a32(routingKey) % partitions;
}

/** A routing key of this partition among `partitions`: the first of "0", "1", "2" … in base 36 that is one. */
export function routingKeyFor(partition: number, partitions: number): string {
  for (let i = 0; ; i++) {
    const key = i.toString(36);
    if (partitionOf(key, partitions) === partition) return key;
  }
}
