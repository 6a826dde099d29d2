/**
 * What a transaction's function has read and written, key by key, and the operations that carry it
 * out: every key that was read is required to be as it was read, so that the transaction takes effect
 * as if it had run alone.
 */

import { invalidRequest } from './errors.ts';
import { makeEntry, type Entry } from './entry.ts';
import type { Read } from './key-value.ts';
import { check, del, put, type DeleteOptions, type MergeRule, type Operation, type Precondition, type PutOptions, type TypedValue } from './operations.ts';

type Write = { readonly type: 'put'; readonly value: TypedValue; readonly merge?: MergeRule } | { readonly type: 'delete' };

interface KeyState {
  readonly participant: string;
  readonly collection: string;
  readonly key: string;
  /** As it was read from the participant. */
  read?: Read;
  /** Stated by the function itself. */
  precondition?: Precondition;
  write?: Write;
}

/** What the function sees when it reads a key. */
export type Seen = { readonly known: true; readonly entry: Entry | undefined } | { readonly known: false };

export class TransactionKeys {
  private readonly states = new Map<string, KeyState>();

  /** The key as the function left it or read it before. */
  see(participant: string, collection: string, key: string): Seen {
    const state = this.states.get(nameOf(participant, collection, key));
    if (state?.write?.type === 'delete') return { known: true, entry: undefined };
    if (state?.write?.type === 'put') {
      const { value, merge } = state.write;
      if (merge === 'jsonMergePatch' || merge === 'jsonThreeWay') {
        throw invalidRequest(`${key} can't be read: what its merge will give is only known when the transaction commits`);
      }
      return { known: true, entry: entryOf(state, value) };
    }
    return state?.read === undefined ? { known: false } : { known: true, entry: state.read.entry };
  }

  /** Takes what was read; the first reading of a key counts. */
  addRead(participant: string, collection: string, key: string, read: Read): Entry | undefined {
    const state = this.state(participant, collection, key);
    state.read ??= read;
    return state.read.entry;
  }

  put(participant: string, collection: string, key: string, value: TypedValue, { precondition, merge }: PutOptions): void {
    const state = this.state(participant, collection, key);
    demand(state, precondition);
    state.write = { type: 'put', value, merge };
  }

  delete(participant: string, collection: string, key: string, { precondition }: DeleteOptions): void {
    const state = this.state(participant, collection, key);
    demand(state, precondition);
    state.write = { type: 'delete' };
  }

  check(participant: string, collection: string, key: string, precondition: Precondition): void {
    demand(this.state(participant, collection, key), precondition);
  }

  /** Whether nothing but at most one key was read: a linearizable read needs no validation. */
  get isTrivial(): boolean {
    const states = [...this.states.values()];
    return states.length <= 1 && states.every(({ write, precondition }) => write === undefined && precondition === undefined);
  }

  /** Whether what was required of a key came from reading it, so that another try may find it otherwise. */
  wasRead(participant: string, collection: string, key: string): boolean {
    return this.states.get(nameOf(participant, collection, key))?.read !== undefined;
  }

  /** One operation for each key. */
  operations(): Operation[] {
    return [...this.states.values()].map(operationOf);
  }

  private state(participant: string, collection: string, key: string): KeyState {
    const name = nameOf(participant, collection, key);
    let state = this.states.get(name);
    if (state === undefined) this.states.set(name, (state = { participant, collection, key }));
    return state;
  }
}

/** Names and keys have no control characters. */
function nameOf(participant: string, collection: string, key: string): string {
  return `${participant}\n${collection}\n${key}`;
}

function entryOf({ participant, collection, key, read }: KeyState, { value, contentType }: TypedValue): Entry {
  const version = read?.entry?.version ?? 0;
  return makeEntry({ participant, collection, key, value, contentType, version });
}

/** @throws InvalidRequest if the key has to fulfil something else already. */
function demand(state: KeyState, precondition: Precondition | undefined): void {
  if (precondition === undefined) return;
  const other = conditionOf(state);
  if (other !== undefined && !isSame(other, precondition)) {
    throw invalidRequest(
      `${state.key} has to be ${describe(other)} ${state.read === undefined ? '' : '(as it was read) '}and ${describe(precondition)} at once`,
    );
  }
  state.precondition = precondition;
}

/** What must hold of the key. Reading it requires that it stays as it was. */
function conditionOf({ read, precondition }: KeyState): Precondition | undefined {
  if (read === undefined) return precondition;
  return read.entry === undefined ? 'absent' : { version: read.entry.version };
}

function operationOf(state: KeyState): Operation {
  const { participant, collection, key, write } = state;
  const precondition = conditionOf(state);
  switch (write?.type) {
    case 'put':
      return put(participant, collection, key, write.value, { precondition, merge: write.merge });
    case 'delete':
      return del(participant, collection, key, { precondition });
    case undefined:
      // The check of a branch that only reads holds nothing (invariant T11), and another branch may be
      // checked at another moment: the key must not have come and gone between. A key that is written
      // is locked while all others are checked, so for it absence is enough.
      return check(participant, collection, key, state.read === undefined ? precondition! : { version: state.read.version });
  }
}

function isSame(a: Precondition, b: Precondition): boolean {
  return a === b || (a !== 'absent' && b !== 'absent' && a.version === b.version);
}

function describe(precondition: Precondition): string {
  return precondition === 'absent' ? 'absent' : `version ${precondition.version}`;
}
