import { expect, test } from 'vitest';
import { AlreadyExists, DeadlineExceeded, InvalidRequest, PermissionDenied } from '../errors.ts';
import type { CallOptions } from '../options.ts';
import type { Rpc } from '../rpc.ts';
import { TestEnvironment } from '../testing/test-environment.ts';
import { keepRegistered } from './registration.ts';

/** Registers against answers that are given in turn; what was asked with which registration id. */
function register(...answers: readonly (Error | string)[]) {
  return registerWhere(() => Promise.resolve({}), ...answers);
}

async function registerWhere(
  getCluster: (limits: CallOptions) => Promise<object>,
  ...answers: readonly (Error | string)[]
): Promise<{ ids: string[]; ended: unknown; problems: number }> {
  const stopping = new AbortController();
  const ids: string[] = [];
  let problems = 0;
  const rpc = {
    environment: new TestEnvironment(),
    call: (_method: unknown, { registrationId }: { registrationId?: string }, limits: CallOptions) => {
      if (registrationId === undefined) return getCluster(limits);
      const answer = answers[ids.push(registrationId) - 1];
      if (answer === undefined) stopping.abort();
      if (typeof answer !== 'string') return Promise.reject(answer ?? new Error('over'));
      return Promise.resolve({ registrationId: answer, clusterId: 'c', timeToLive: undefined });
    },
  } as unknown as Rpc;
  const options = { rpc, name: 'bank', address: 'a:1', timeToLiveMs: 3, signal: stopping.signal, onRegistered: () => undefined, onProblem: () => void problems++ };
  const ended = await keepRegistered(options).catch((error: unknown) => error);
  return { ids, ended, problems };
}

const invalid = new InvalidRequest({ reason: 'INVALID_FIELD', message: 'no' });
const taken = new AlreadyExists({ reason: 'PARTICIPANT_NAME_TAKEN', message: 'taken' });

test('a registration that has run out is made anew', async () => {
  expect(await register('r1', invalid, 'r2')).toEqual({ ids: ['', 'r1', '', 'r2'], ended: undefined, problems: 1 });
});

test('a name that is taken is asked for until the other registration has lapsed', async () => {
  expect(await register(taken, taken, 'r1')).toEqual({ ids: ['', '', '', 'r1'], ended: undefined, problems: 2 });
});

test('what was registered once is registered again, whatever is said against it meanwhile', async () => {
  expect(await register('r1', taken, invalid, new PermissionDenied({ reason: 'PERMISSION_DENIED', message: 'no' }), 'r2')).toEqual({
    ids: ['', 'r1', '', '', '', 'r2'],
    ended: undefined,
    problems: 3,
  });
});

test('a map that can’t be had is no matter for the registration, and does not hold up its renewal', async () => {
  const limits: (number | undefined)[] = [];
  const late = new DeadlineExceeded({ reason: 'DEADLINE_EXCEEDED', message: 'late' });
  const denied = new PermissionDenied({ reason: 'PERMISSION_DENIED', message: 'no' });
  const errors = [denied, late];
  const getCluster = ({ timeoutMs }: CallOptions): Promise<object> => {
    limits.push(timeoutMs);
    const error = errors.shift();
    return error === undefined ? Promise.resolve({}) : Promise.reject(error);
  };
  expect(await registerWhere(getCluster, 'r1', 'r1', 'r1')).toEqual({ ids: ['', 'r1', 'r1', 'r1'], ended: undefined, problems: 2 });
  expect(limits).toEqual([1, 1, 1]);
});

test('a name or address that breaks a rule ends it', async () => {
  expect(await register(invalid)).toEqual({ ids: [''], ended: invalid, problems: 0 });
});
