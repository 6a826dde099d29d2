import * as grpc from '@grpc/grpc-js';
import { describe, expect, it, vi } from 'vitest';
import type { ToCoordinator, ToParticipant } from '../../../kernel/messages.ts';
import { systemClock } from '../../clock.ts';
import { FailureError } from '../../errors/failure-error.ts';
import { serviceErrorToFailure } from '../../errors/status.ts';
import type { Channels } from '../channels.ts';
import { branchOf, CLUSTER, prepareOf } from '../testing/replica.ts';
import { PlainCalls } from './plain-calls.ts';
import { DEFAULT_LINK_SETTINGS } from './types.ts';

const BRANCH = branchOf({ epoch: 10, counter: 3 });

const REFUSING = [
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
] as const;
const SILENT = ['CANCELLED', 'UNKNOWN', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS'] as const;

/** Calls that are all ended with this status, and what is made of it. */
function callsEndedWith(status: keyof typeof grpc.status) {
  const failure = serviceErrorToFailure({ code: grpc.status[status], details: 'not today' });
  const heard: (ToCoordinator | ToParticipant)[] = [];
  const ended = vi.fn(() => Promise.reject(new FailureError(failure)));
  const calls = new PlainCalls({
    clusterId: CLUSTER,
    channels: { unary: ended } as unknown as Channels,
    clock: systemClock,
    settings: { ...DEFAULT_LINK_SETTINGS, callsInFlight: 1 },
    mark: () => undefined,
    answered: (_, message) => void heard.push(message),
    failed: (message) => void heard.push(message),
    toParticipantTerm: (message) => void heard.push(message),
  });
  /** Once the call is over: then another one is taken. */
  const over = (): Promise<unknown> => vi.waitUntil(() => calls.toParticipant('there', prepareOf(BRANCH)) === undefined);
  return { calls, heard, over };
}

it('every status of gRPC either refuses or leaves open', () => {
  const all = Object.keys(grpc.status).filter((name) => Number.isNaN(Number(name)) && name !== 'OK');
  expect([...REFUSING, ...SILENT].toSorted()).toEqual(all.toSorted());
});

describe('a participant that ends Prepare', () => {
  it.each(REFUSING)('with %s has voted no', async (status) => {
    const { calls, heard } = callsEndedWith(status);
    calls.toParticipant('there', prepareOf(BRANCH));
    await vi.waitUntil(() => heard.length > 0);
    expect(heard).toMatchObject([{ type: 'vote', branch: BRANCH, vote: 'no' }]);
  });

  it.each(SILENT)('with %s may have prepared the branch, and is asked again', async (status) => {
    const { calls, heard, over } = callsEndedWith(status);
    calls.toParticipant('there', prepareOf(BRANCH));
    await over();
    expect(heard).toEqual([]);
  });
});

describe('a coordinator that ends Enlist', () => {
  it.each(REFUSING)('with %s has refused the branch', async (status) => {
    const { calls, heard } = callsEndedWith(status);
    calls.toCoordinator('there', { type: 'enlist', branch: BRANCH, epoch: 1 });
    await vi.waitUntil(() => heard.length > 0);
    expect(heard).toMatchObject([{ type: 'enlistAnswer', branch: BRANCH, refusal: {} }]);
  });
});
