/** FaultService: sets, lists and clears faults; see proto/txmesh/admin/v1/fault.proto. */

import {
  FaultServiceService,
  WriteFailure,
  type Fault as WireFault,
} from '../../gen/txmesh/admin/v1/fault.ts';
import type { Failure, FieldViolation, Reason } from '../../kernel/failure.ts';
import { isReason, REASONS } from '../../kernel/failure.ts';
import { FailureError } from '../errors/failure-error.ts';
import type { Handlers } from '../transport/service.ts';
import { durationMs, toDuration, toTimestamp } from '../transport/time.ts';
import type { Effect, Fault } from './fault.ts';
import { MAX_FAULTS, type ActiveFault, type FaultBoard } from './fault-board.ts';

export { FaultServiceService };

const NAME = /^[a-z][a-z0-9-]{0,62}$/;
const METHOD = /^[A-Za-z0-9_.]+\/([A-Za-z0-9_]+|\*)$/;
const DEFAULT_DURATION_MS = 60_000;
const MAX_DURATION_MS = 3_600_000;
const MAX_LATENCY_MS = 60_000;
const RETRY_MS = 100;

/** Where several reasons have a code, the one that says the least. */
const GENERAL: Readonly<Record<string, Reason>> = { UNAVAILABLE: 'NO_LEADER', RESOURCE_EXHAUSTED: 'OVERLOADED', ABORTED: 'LOCK_CONFLICT' };
/** Codes of what may be tried again, where it was surely not executed. */
const WORTH_A_RETRY = ['UNAVAILABLE', 'RESOURCE_EXHAUSTED'];

/** @param methods full names of the methods that there are */
export function faultHandlers(board: FaultBoard, methods: () => ReadonlySet<string>): Handlers<typeof FaultServiceService> {
  return {
    setFault: ({ fault }) => {
      const active = board.set(read(fault, methods()));
      if (active === undefined)
        return Promise.reject(new FailureError({ reason: 'LIMIT_EXCEEDED', message: `${MAX_FAULTS} faults are set, the most there may be: clear some with ClearFaults` }));
      return Promise.resolve({ fault: wireOf(active) });
    },
    listFaults: () => Promise.resolve({ faults: board.list().map(wireOf) }),
    clearFaults: ({ name }) => Promise.resolve({ faults: board.clear(name === '' ? undefined : name).map(wireOf) }),
  };
}

/** @throws FailureError that names every field that is wrong. */
function read(wire: WireFault | undefined, methods: ReadonlySet<string>): Fault {
  const violations: FieldViolation[] = [];
  const wrong = (field: string, description: string): void => void violations.push({ field: `fault.${field}`, description });
  if (wire === undefined) throw invalid([{ field: 'fault', description: 'is missing' }]);
  if (!NAME.test(wire.name)) wrong('name', 'must be of a-z, 0-9 and -, beginning with a letter, at most 63 characters');
  const target = targetOf(wire, methods, wrong);
  const latency = latencyOf(wire, wrong);
  const effect = effectOf(wire, wrong);
  const isOfCalls = effect.type === 'error' || effect.type === 'drop-connection';
  if (effect.type !== 'none' && isOfCalls !== (target.type === 'calls')) wrong(wire.effect!.$case === 'error' ? 'error' : snake(wire.effect!.$case), `can't strike ${target.type}`);
  if (effect.type === 'none' && latency === undefined) wrong('effect', 'must be there, or a latency');
  if (wire.afterExecution && !isOfCalls) wrong('after_execution', 'must be false but for calls with an error or a cut connection');
  if (!(wire.probability >= 0 && wire.probability <= 1)) wrong('probability', 'must be from 0, which stands for 1, to 1');
  const lasts = wire.duration === undefined ? DEFAULT_DURATION_MS : durationMs(wire.duration);
  if (!(lasts >= 1 && lasts <= MAX_DURATION_MS)) wrong('duration', 'must be from 1ms to 1h');
  if (violations.length > 0) throw invalid(violations);
  return {
    name: wire.name,
    target,
    latency,
    effect,
    afterExecution: wire.afterExecution,
    probability: wire.probability === 0 ? 1 : wire.probability,
    durationMs: lasts,
  };
}

type Wrong = (field: string, description: string) => void;

function targetOf({ target }: WireFault, methods: ReadonlySet<string>, wrong: Wrong): Fault['target'] {
  switch (target?.$case) {
    case 'calls': {
      const { method, participant } = target.value;
      if (method !== '' && !METHOD.test(method)) wrong('calls.method', 'must be like "package.Service/Method" or "package.Service/*"');
      else if (method !== '' && ![...methods].some((each) => each === method || (method.endsWith('/*') && each.startsWith(method.slice(0, -1)))))
        wrong('calls.method', 'is no method that faults can strike here');
      return { type: 'calls', method, participant };
    }
    case 'writes':
      return { type: 'writes', participant: target.value.participant, partition: target.value.partition };
    case undefined:
      wrong('target', 'must be there: calls or writes');
      return { type: 'calls', method: '', participant: '' };
  }
}

function latencyOf({ latency }: WireFault, wrong: Wrong): Fault['latency'] {
  if (latency === undefined) return undefined;
  const minimumMs = latency.minimum === undefined ? 0 : durationMs(latency.minimum);
  const maximumMs = latency.maximum === undefined ? minimumMs : durationMs(latency.maximum);
  if (!(minimumMs >= 0 && minimumMs <= maximumMs && maximumMs > 0 && maximumMs <= MAX_LATENCY_MS))
    wrong('latency', 'must be above 0 and up to 1 minute, and its minimum no longer than its maximum');
  return { minimumMs, maximumMs };
}

function effectOf(wire: WireFault, wrong: Wrong): Effect {
  const { effect } = wire;
  switch (effect?.$case) {
    case undefined:
      return { type: 'none' };
    case 'error': {
      const failure = failureOf(effect.value.code, wire);
      if (failure === undefined) wrong('error.code', `must be a reason of docs/errors.md, or one of ${[...new Set(Object.values(REASONS))].join(', ')}`);
      return failure === undefined ? { type: 'none' } : { type: 'error', failure };
    }
    case 'dropConnection':
      if (!effect.value) wrong('drop_connection', 'must be true, or absent');
      return { type: 'drop-connection' };
    case 'writeFailure':
      switch (effect.value) {
        case WriteFailure.UNAVAILABLE:
          return { type: 'unavailable' };
        case WriteFailure.FULL:
          return { type: 'full' };
        case WriteFailure.AMBIGUOUS_WRITTEN:
          return { type: 'ambiguous', written: true };
        case WriteFailure.AMBIGUOUS_NOT_WRITTEN:
          return { type: 'ambiguous', written: false };
        default:
          wrong('write_failure', 'is unknown');
          return { type: 'none' };
      }
  }
}

/** A reason with this gRPC code. */
function reasonOf(code: string): Reason | undefined {
  if (Object.hasOwn(GENERAL, code)) return GENERAL[code];
  return Object.keys(REASONS).filter(isReason).find((reason) => REASONS[reason] === code);
}

/** A retry delay promises that nothing was executed: only a fault that strikes before may give one (P8). */
function failureOf(code: string, { name, effect, afterExecution }: WireFault): Failure | undefined {
  const reason = isReason(code) ? code : reasonOf(code);
  if (reason === undefined) return undefined;
  const given = effect?.$case === 'error' ? effect.value.message : '';
  const retry = !afterExecution && WORTH_A_RETRY.includes(REASONS[reason]);
  return { reason, message: given === '' ? `the fault "${name}" was injected` : given, metadata: { fault: name }, ...(retry && { retryAfterMs: RETRY_MS }) };
}

function wireOf({ fault, expireMs, injections }: ActiveFault): WireFault {
  const { name, target, latency, afterExecution, probability } = fault;
  return {
    name,
    target:
      target.type === 'calls'
        ? { $case: 'calls', value: { method: target.method, participant: target.participant } }
        : { $case: 'writes', value: { participant: target.participant, partition: target.partition } },
    latency: latency && { minimum: toDuration(latency.minimumMs), maximum: toDuration(latency.maximumMs) },
    effect: wireEffect(fault.effect),
    afterExecution,
    probability,
    duration: toDuration(fault.durationMs),
    expireTime: toTimestamp(expireMs),
    injections,
  };
}

function wireEffect(effect: Effect): WireFault['effect'] {
  const failing = (value: WriteFailure): WireFault['effect'] => ({ $case: 'writeFailure', value });
  switch (effect.type) {
    case 'none':
      return undefined;
    case 'error':
      return { $case: 'error', value: { code: effect.failure.reason, message: effect.failure.message } };
    case 'drop-connection':
      return { $case: 'dropConnection', value: true };
    case 'unavailable':
      return failing(WriteFailure.UNAVAILABLE);
    case 'full':
      return failing(WriteFailure.FULL);
    case 'ambiguous':
      return failing(effect.written ? WriteFailure.AMBIGUOUS_WRITTEN : WriteFailure.AMBIGUOUS_NOT_WRITTEN);
  }
}

const invalid = (violations: readonly FieldViolation[]): FailureError =>
  new FailureError({ reason: 'INVALID_FIELD', message: `the fault is not set: ${violations.map(({ field, description }) => `${field} ${description}`).join('; ')}`, violations });

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
