import * as grpc from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REASONS, type Failure, type Reason } from '../../kernel/failure.ts';
import { ErrorInfo, RetryInfo } from '../../gen/google/rpc/error_details.ts';
import { Status } from '../../gen/google/rpc/status.ts';
import { failureToServiceError, failureToStatus, serviceErrorToFailure, statusToFailure } from './status.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 60 });
const failures = fc.record(
  {
    reason: fc.constantFrom(...(Object.keys(REASONS) as Reason[])),
    message: text,
    violations: fc.array(fc.record({ field: text, description: text }), { minLength: 1, maxLength: 4 }),
    metadata: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), text, { minKeys: 1, maxKeys: 3, noNullPrototype: true }),
    retryAfterMs: fc.integer({ min: 0, max: 100_000 }),
    detail: fc.record({ typeUrl: fc.constant('type.googleapis.com/txmesh.keyvalue.v1.ConflictDetail'), value: fc.uint8Array({ maxLength: 64 }) }),
  },
  { requiredKeys: ['reason', 'message'] },
) as fc.Arbitrary<Failure>;

const RPC = 'type.googleapis.com/google.rpc.';

const overTheWire = (failure: Failure): Failure => {
  const { code, details, metadata } = failureToServiceError(failure);
  return serviceErrorToFailure({ code, details: details!, metadata: metadata! });
};

describe('failures and statuses', () => {
  it('a failure is the same after a journey as google.rpc.Status in a message', () => {
    fc.assert(
      fc.property(failures, (failure) => {
        const bytes = Status.encode(failureToStatus(failure)).finish();
        expect(statusToFailure(Status.decode(bytes))).toEqual(failure);
      }),
    );
  });

  it('a failure is the same after a journey as the error of a call', () => {
    fc.assert(fc.property(failures, (failure) => {
      expect(overTheWire(failure)).toEqual(failure);
    }));
  });

  it('every reason has the gRPC code that it is declared with', () => {
    for (const reason of Object.keys(REASONS) as Reason[])
      expect(failureToServiceError({ reason, message: 'm' }).code).toBe(grpc.status[REASONS[reason]]);
  });

  it('what would not fit a header block is left out, the reason and the delay are not', () => {
    const failure: Failure = {
      reason: 'PRECONDITION_FAILED',
      message: 'x'.repeat(100_000),
      retryAfterMs: 7,
      violations: Array.from({ length: 1000 }, () => ({ field: 'f'.repeat(500), description: 'd'.repeat(500) })),
      detail: { typeUrl: 'type.googleapis.com/x', value: new Uint8Array(1024 * 1024) },
    };
    const { metadata, details } = failureToServiceError(failure);
    expect((metadata!.get('grpc-status-details-bin')[0] as Buffer).length).toBeLessThan(4096);
    expect(details!.length).toBeLessThan(2000);
    expect(overTheWire(failure)).toMatchObject({ reason: 'PRECONDITION_FAILED', retryAfterMs: 7, metadata: { detailOmitted: 'true' } });
  });

  it('a text that is cut through a pair of surrogates can still be sent', () => {
    const { details } = failureToServiceError({ reason: 'INTERNAL', message: '😀'.repeat(2000) });
    expect(() => encodeURI(details!)).not.toThrow();
  });

  it('only a call that was surely not sent is one that may be sent again', () => {
    const unavailable = (details: string) => serviceErrorToFailure({ code: grpc.status.UNAVAILABLE, details });
    expect(unavailable('No connection established. Last error: ECONNREFUSED')).toMatchObject({ reason: 'NO_LEADER', retryAfterMs: 100 });
    expect(unavailable('Write error: Stream closed with error code NGHTTP2_REFUSED_STREAM')).toMatchObject({ reason: 'NO_LEADER', retryAfterMs: 100 });
    expect(unavailable('Connection dropped')).toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    expect(unavailable('Connection dropped').retryAfterMs).toBeUndefined();
  });

  it.each(['toString', 'constructor', '__proto__', 'hasOwnProperty', 'NOT_ONE_OF_OURS'])('%s is no reason, whoever names it', (reason) => {
    const info = ErrorInfo.encode({ reason, domain: 'txmesh', metadata: {} }).finish();
    const failure = statusToFailure({ code: grpc.status.ABORTED, message: 'no', details: [{ typeUrl: `${RPC}ErrorInfo`, value: Buffer.from(info) }] });
    expect(failure.reason).toBe('REFUSED_BY_PARTICIPANT');
    expect(overTheWire(failure)).toEqual(failure);
  });

  it.each([
    ['the longest', 2n ** 63n - 1n, 86_400_000],
    ['a negative one', -5n, 0],
  ])('%s delay that can be written is bounded, so that it can be passed on', (_, seconds, retryAfterMs) => {
    const delay = RetryInfo.encode({ retryDelay: { seconds, nanos: 0 } }).finish();
    const failure = statusToFailure({ code: grpc.status.UNAVAILABLE, message: 'no', details: [{ typeUrl: `${RPC}RetryInfo`, value: Buffer.from(delay) }] });
    expect(failure.retryAfterMs).toBe(retryAfterMs);
    expect(overTheWire(failure).retryAfterMs).toBe(retryAfterMs);
  });

  it('a trailer of garbage is no reason to fail', () => {
    const metadata = new grpc.Metadata();
    metadata.set('grpc-status-details-bin', Buffer.from([0xff, 0xff, 0xff]));
    expect(serviceErrorToFailure({ code: grpc.status.CANCELLED, details: 'gone', metadata }).reason).toBe('CANCELLED');
  });
});
