import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REASONS, type Failure, type Reason } from '../../../kernel/failure.ts';
import type { BranchId, Mark, ToCoordinator, ToParticipant } from '../../../kernel/messages.ts';
import { ExchangeRequest, ExchangeResponse } from '../../../gen/txmesh/participant/v1/participant.ts';
import { decodeRequestFrame, decodeResponseFrame } from './decode-codec.ts';
import { encodeRequestFrame, encodeResponseFrame } from './encode-codec.ts';

const NOW_MS = 1_800_000_000_000;
const CLUSTER = '0198c0de-0000-4000-8000-000000000001';

const partition = fc.integer({ min: 0, max: 65_535 });
const safe = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const attempt = fc.record({ epoch: safe, counter: safe });
const id = fc
  .tuple(fc.stringMatching(/^[0-9a-f]{8}$/), fc.stringMatching(/^[0-9a-f]{4}$/), fc.stringMatching(/^[0-9a-f]{12}$/))
  .map(([a, b, c]) => `${a}-${b}-7${b.slice(1)}-8${b.slice(1)}-${c}`);
const branch: fc.Arbitrary<BranchId> = fc.record({
  transactionId: id,
  attempt,
  coordinatorPartition: partition,
  participant: fc.stringMatching(/^[a-z][a-z0-9-]{0,62}$/),
  partition,
});
const trace = fc.option(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 80 }), { nil: undefined });
const failure = fc.record({ reason: fc.constantFrom(...(Object.keys(REASONS) as Reason[])), message: fc.string() }) as fc.Arbitrary<Failure>;
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
  fc.integer({ min: 100, max: 70_000 }).map((length) => Buffer.alloc(length, length)),
);
const typed = <T>(arbitrary: fc.Arbitrary<unknown>): fc.Arbitrary<T> => arbitrary as fc.Arbitrary<T>;

const toParticipant: fc.Arbitrary<ToParticipant> = fc.oneof(
  typed<ToParticipant>(
    fc.record({
      type: fc.constant('prepare'),
      branch,
      operations: fc.array(fc.record({ typeUrl: fc.string({ maxLength: 60 }), value: bytes }), { maxLength: 4 }),
      firstTryMs: fc.integer({ min: 0, max: 4e12 }),
      deadlineMs: fc.integer({ min: NOW_MS, max: NOW_MS + 600_000 }),
      readOnly: fc.boolean(),
      workspace: fc.option(fc.record({ attempt, epoch: safe }), { nil: undefined }),
      trace,
    }),
  ),
  typed<ToParticipant>(fc.record({ type: fc.constantFrom('commit', 'abort'), branch, trace })),
  typed<ToParticipant>(fc.record({ type: fc.constantFrom('pending', 'forget'), branch })),
  typed<ToParticipant>(fc.record({ type: fc.constant('enlistAnswer'), branch, refusal: fc.option(failure, { nil: undefined }) })),
);
const toCoordinator: fc.Arbitrary<ToCoordinator> = fc.oneof(
  typed<ToCoordinator>(
    fc.record({ type: fc.constant('vote'), branch, vote: fc.constantFrom('yes', 'no', 'readOnly'), cause: fc.option(failure, { nil: undefined }) }),
  ),
  typed<ToCoordinator>(fc.record({ type: fc.constant('acknowledge'), branch, heuristic: fc.constantFrom(undefined, 'commit', 'abort') })),
  typed<ToCoordinator>(fc.record({ type: fc.constant('inquire'), branch })),
  typed<ToCoordinator>(fc.record({ type: fc.constant('enlist'), branch, epoch: safe })),
  typed<ToCoordinator>(fc.record({ type: fc.constant('undelivered'), branch, failure })),
);
const marks: fc.Arbitrary<Mark[]> = fc.array(fc.record({ coordinatorPartition: partition, lowWaterMark: attempt }), { maxLength: 5 });

describe('frames of Exchange', () => {
  it('messages to participants arrive as they were sent', () => {
    fc.assert(
      fc.property(marks, fc.array(toParticipant, { maxLength: 6 }), (marks, messages) => {
        const frame = encodeRequestFrame({ clusterId: CLUSTER, marks, messages }, NOW_MS);
        expect(decodeRequestFrame(frame, NOW_MS)).toEqual({ clusterId: CLUSTER, marks, messages });
      }),
    );
  });

  it('messages to coordinators arrive as they were sent', () => {
    fc.assert(
      fc.property(fc.array(toCoordinator, { maxLength: 6 }), (messages) => {
        const frame = encodeResponseFrame({ clusterId: CLUSTER, messages });
        expect(decodeResponseFrame(frame)).toEqual({ clusterId: CLUSTER, messages });
      }),
    );
  });

  it('generated code reads the frames written here, and frames that generated code writes are read here', () => {
    fc.assert(
      fc.property(marks, fc.array(toParticipant, { maxLength: 4 }), fc.array(toCoordinator, { maxLength: 4 }), (marks, down, up) => {
        const request = encodeRequestFrame({ clusterId: CLUSTER, marks, messages: down }, NOW_MS);
        const again = Buffer.from(ExchangeRequest.encode(ExchangeRequest.decode(request)).finish());
        expect(decodeRequestFrame(again, NOW_MS)).toEqual({ clusterId: CLUSTER, marks, messages: down });
        const response = encodeResponseFrame({ clusterId: CLUSTER, messages: up });
        const responseAgain = Buffer.from(ExchangeResponse.encode(ExchangeResponse.decode(response)).finish());
        expect(decodeResponseFrame(responseAgain)).toEqual({ clusterId: CLUSTER, messages: up });
      }),
    );
  });

  it('a deadline travels as the time left, whatever the clock of the other end says', () => {
    const [sample] = fc.sample(toParticipant.filter((m) => m.type === 'prepare'), 1);
    const prepare = { ...sample!, deadlineMs: NOW_MS + 1500 } as ToParticipant;
    const frame = encodeRequestFrame({ clusterId: CLUSTER, marks: [], messages: [prepare] }, NOW_MS);
    expect(decodeRequestFrame(frame, 5_000).messages[0]).toMatchObject({ deadlineMs: 6_500 });
  });

  it('kept bytes are no views into the frame', () => {
    const message = fc.sample(toParticipant.filter((m) => m.type === 'prepare' && m.operations.length > 0), 1)[0]!;
    const frame = encodeRequestFrame({ clusterId: CLUSTER, marks: [], messages: [message] }, NOW_MS);
    const [read] = decodeRequestFrame(frame, NOW_MS).messages;
    frame.fill(0xff);
    expect(read).toEqual(message);
  });

  it('garbage is refused or read, and never anything else', () => {
    const [valid] = fc.sample(toParticipant, 1);
    const frame = encodeRequestFrame({ clusterId: CLUSTER, marks: [], messages: [valid!] }, NOW_MS);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(frame.length), (noise, at) => {
        for (const bytes of [Buffer.from(noise), Buffer.concat([frame.subarray(0, at), noise, frame.subarray(at)])]) {
          for (const decode of [() => decodeRequestFrame(bytes, NOW_MS), () => decodeResponseFrame(bytes)]) {
            try {
              decode();
            } catch (error) {
              expect(error).toBeInstanceOf(Error);
            }
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});
