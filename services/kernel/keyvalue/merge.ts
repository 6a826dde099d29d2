/**
 * Merging JSON documents. Numbers are IEEE 754 doubles, as in RFC 8259 section 6: integers beyond 2^53
 * and more than 17 digits lose precision when a document is merged (never when it is only stored).
 * A member named twice counts with its last value. Pure functions of parsed documents.
 */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [member: string]: Json };
type JsonObject = { readonly [member: string]: Json };

/** Deeper documents are refused: recursion is bounded. */
export const MAX_DEPTH = 100;
/** Most conflicts that are reported. */
const MAX_CONFLICTS = 20;
const MAX_POINTER_LENGTH = 500;

/** Undefined: not JSON (RFC 8259), or too deep. */
export function parseJson(text: string): Json | undefined {
  try {
    const json = JSON.parse(text) as Json;
    return isDeeper(json, MAX_DEPTH) ? undefined : json;
  } catch {
    return undefined;
  }
}

/** RFC 7396, section 2. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result = new Map<string, Json>(isObject(target) ? Object.entries(target) : []);
  for (const [member, value] of Object.entries(patch)) {
    if (value === null) result.delete(member);
    else result.set(member, mergePatch(result.get(member), value));
  }
  return Object.fromEntries(result);
}

/** Both sides changed what the pointers (RFC 6901) name, differently. */
export type ThreeWayResult = { readonly merged: Json } | { readonly conflicts: readonly string[] };

/**
 * What `theirs` has become since `base`, with what `ours` changed since `base`. Objects are merged
 * member by member; everything else, arrays too, is changed as a whole. Base undefined: both were added.
 */
export function threeWayMerge(base: Json | undefined, theirs: Json, ours: Json): ThreeWayResult {
  const conflicts: string[] = [];
  const merged = merge(base, theirs, ours, '', conflicts);
  return conflicts.length > 0 ? { conflicts } : { merged: merged! };
}

/** Undefined stands for a member that is not there. */
function merge(
  base: Json | undefined,
  theirs: Json | undefined,
  ours: Json | undefined,
  pointer: string,
  conflicts: string[],
): Json | undefined {
  if (isEqual(ours, base) || isEqual(ours, theirs)) return theirs;
  if (isEqual(theirs, base)) return ours;
  // Both changed it; only objects can be looked into. Two that were both added are merged from nothing.
  if (!isObject(theirs) || !isObject(ours) || !(isObject(base) || base === undefined)) {
    if (conflicts.length < MAX_CONFLICTS) conflicts.push(pointer);
    return theirs;
  }
  const from: JsonObject = base ?? {};
  const result: [string, Json][] = [];
  for (const member of new Set([...Object.keys(theirs), ...Object.keys(ours)])) {
    const inner = `${pointer}/${escapePointer(member)}`;
    // Where a member's own name is too long to report, the object that holds it is named.
    const reported = inner.length > MAX_POINTER_LENGTH ? pointer : inner;
    const value = merge(own(from, member), own(theirs, member), own(ours, member), reported, conflicts);
    if (value !== undefined) result.push([member, value]);
  }
  return Object.fromEntries(result);
}

function own(object: JsonObject, member: string): Json | undefined {
  return Object.hasOwn(object, member) ? object[member] : undefined;
}

function escapePointer(member: string): string {
  return member.replaceAll('~', '~0').replaceAll('/', '~1');
}

function isObject(json: Json | undefined): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}

export function isEqual(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => isEqual(item, b[i]));
  }
  const [x, y] = [a as JsonObject, b as JsonObject];
  const members = Object.keys(x);
  if (members.length !== Object.keys(y).length) return false;
  return members.every((member) => Object.hasOwn(y, member) && isEqual(x[member], y[member]));
}

function isDeeper(json: Json, depth: number): boolean {
  if (typeof json !== 'object' || json === null) return false;
  if (depth === 0) return true;
  return Object.values(json).some((value) => isDeeper(value as Json, depth - 1));
}
