/** Store keys of the key-value records, and names of keys. */

export const KEY_PREFIX = 'key/';
export const VERSION_PREFIX = 'version/';
export const CHANGE_PREFIX = 'change/';
export const KEPT_KEY = 'kept';

/** The name of a key: what it is locked and stored under. */
export function nameOf(collection: string, key: string): string {
  return `${collection}/${key}`;
}

export function splitName(name: string): { readonly collection: string; readonly key: string } {
  const slash = name.indexOf('/');
  return { collection: name.slice(0, slash), key: name.slice(slash + 1) };
}

export function recordKey(name: string): string {
  return KEY_PREFIX + name;
}

/** A key has no control characters, so the zero byte ends it: no other key's versions lie between. */
export function versionKey(name: string, version: number): string {
  return `${VERSION_PREFIX}${name}\0${hex14(version)}`;
}

export function changeKey(revision: number): string {
  return CHANGE_PREFIX + hex14(revision);
}

function hex14(number: number): string {
  return number.toString(16).padStart(14, '0');
}
