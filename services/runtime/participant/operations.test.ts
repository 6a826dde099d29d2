import { describe, expect, test } from 'vitest';
import type { Service, ServiceKind } from '../cluster/view.ts';
import { FailureError } from '../errors/failure-error.ts';
import { Kinds, type KindOperations } from './operations.ts';
import { serviceOfAnyKind, serviceOfKind } from './service.ts';

const kind = (name: string): KindOperations => ({
  name: name as KindOperations['name'],
  label: `${name} of words`,
  readOnlyTypes: new Set([`${name}/Check`]),
  decodeOperations: (operations) => operations.map(({ typeUrl }) => `${typeUrl} by ${name}`),
  fingerprintOf: () => '',
  misplaced: () => undefined,
});

const lists = kind('list');
const trees = kind('tree');
const kinds = new Kinds([lists, trees]);
const services = new Map<string, Service>(
  [['coordinator', 'coordinator'], ['shopping', 'list'], ['family', 'tree'], ['outside', 'external']].map(([name, of]) => [
    name!,
    { name: name!, kind: of as ServiceKind, partitions: 1 },
  ]),
);
const view = { service: (name: string) => services.get(name) };

const failureOf = (call: () => unknown) => {
  try {
    call();
  } catch (error) {
    if (error instanceof FailureError) return error.failure;
  }
  throw new Error('the call was expected to fail');
};

describe('kinds of participants', () => {
  test('a participant is served as what it is', () => {
    expect(serviceOfAnyKind({ view, kinds }, 'shopping')).toEqual({ service: services.get('shopping'), kind: lists });
    const { kind: found } = serviceOfAnyKind({ view, kinds }, 'family');
    expect(found.decodeOperations([{ typeUrl: 'x', value: new Uint8Array() }])).toEqual(['x by tree']);
    expect(serviceOfKind({ view, kind: trees }, 'family')).toBe(services.get('family'));
  });

  test('what only reads is what only reads for any of them (T11)', () => {
    expect([...kinds.readOnlyTypes]).toEqual(['list/Check', 'tree/Check']);
  });

  test.each([
    ['nobody', 'no participant named "nobody" is known to this cluster'],
    ['coordinator', 'no participant named "coordinator" is known to this cluster'],
    ['outside', 'participant "outside" is no participant of the mesh'],
  ])('%s is none of them', (name, message) => {
    const metadata = { participant: name };
    expect(failureOf(() => serviceOfAnyKind({ view, kinds }, name))).toMatchObject({ reason: 'UNKNOWN_PARTICIPANT', message, metadata });
  });

  test('one of another kind than asked for is refused by its name', () => {
    expect(failureOf(() => serviceOfKind({ view, kind: trees }, 'shopping')).message).toBe('participant "shopping" is no tree of words of the mesh');
  });
});
