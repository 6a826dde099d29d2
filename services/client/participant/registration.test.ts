import { expect, test } from 'vitest';
import { AlreadyExists, InvalidRequest } from '../errors.ts';
import type { Rpc } from '../rpc.ts';
import { TestEnvironment } from '../testing/test-environment.ts';
import { keepRegistered } from './registration.ts';

/** Registers against answers that are given in turn; what was asked with which registration id. */
async function register(...answers: readonly (Error | string)[]): Promise<{ ids: string[]; ended: unknown; problems: number }> {
  const stopping = new AbortController();
  const ids: string[] = [];
  let problems = 0;
  const rpc = {
    environment: new TestEnvironment(),
    call: (_method: unknown, { registrationId }: { registrationId?: string }) => {
      if (registrationId === undefined) return Promise.resolve({});
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

test('a name or address that breaks a rule ends it', async () => {
  expect(await register(invalid)).toEqual({ ids: [''], ended: invalid, problems: 0 });
});
