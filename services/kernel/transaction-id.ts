/**
 * Transaction ids: UUIDv7 (RFC 9562, section 5.7) in canonical form. Their order as strings is the
 * order of their times, so outcomes are kept under them and collected from the oldest on.
 */

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Ids further in the future than this are refused, milliseconds. */
export const FUTURE_BOUND_MS = 60_000;

export function isTransactionId(text: string): boolean {
  return text.length === 36 && FORM.test(text);
}

/** The id's own time, milliseconds since 1970. */
export function idTimeMs(id: string): number {
  return parseInt(id.slice(0, 8), 16) * 0x10000 + parseInt(id.slice(9, 13), 16);
}

export function isInFuture(id: string, nowMs: number): boolean {
  return idTimeMs(id) > nowMs + FUTURE_BOUND_MS;
}

/** The lowest string that every id of this or a later time is at or above. */
export function idFloorAt(timeMs: number): string {
  const hex = Math.max(0, Math.floor(timeMs)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}`;
}
