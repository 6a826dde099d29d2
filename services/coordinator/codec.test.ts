import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CoordinatorRecord } from '../gen/txmesh/record/v1/coordinator_record.ts';
import { branch, Harness, idAt, votes } from '../kernel/coordinator/testing/harness.ts';
import { CAUSE_BYTES, trimCause } from '../kernel/coordinator/records.ts';
import { MAX_BRANCHES, type Stored } from '../kernel/coordinator/types.ts';
import { REASONS, type Reason } from '../kernel/failure.ts';
import { decodeRecord, encodeRecord } from './codec.ts';

const attempt = fc.record({ epoch: fc.integer({ min: 1, max: 2 ** 52 }), counter: fc.integer({ min: 1, max: 2 ** 40 }) });
const timeMs = fc.double({ min: 0, max: 2 ** 50, noNaN: true });
const outcome = fc.constantFrom('commit' as const, 'abort' as const);
const text = fc.string({ unit: 'grapheme', maxLength: 700 });
const cause = fc.record(
  {
    reason: fc.constantFrom(...(Object.keys(REASONS) as Reason[])),
    message: text,
    // A name of ours, so never __proto__, which an object can't hold as a key.
    metadata: fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), text, { minKeys: 1, maxKeys: 3 }),
    detail: fc.record({ typeUrl: fc.string(), value: fc.uint8Array({ maxLength: 2000 }) }),
  },
  { requiredKeys: ['reason', 'message'] },
);
const records: fc.Arbitrary<Stored> = fc.oneof(
  fc.record(
    {
      type: fc.constant('transaction' as const),
      mode: fc.constant('two-phase-commit' as const),
      outcome,
      attempt,
      fingerprint: fc.string({ minLength: 1 }),
      branches: fc.array(
        fc.record(
          { participant: fc.string(), partition: fc.nat(), readOnly: fc.boolean(), heuristic: outcome },
          { requiredKeys: ['participant', 'partition', 'readOnly'] },
        ),
      ),
      cause,
      decideMs: timeMs,
      mixed: fc.boolean(),
    },
    { requiredKeys: ['type', 'mode', 'outcome', 'branches', 'decideMs', 'mixed'] },
  ),
  fc.record({
    type: fc.constant('log' as const),
    timeMs,
    decisions: fc.array(
      fc.record({ transactionId: fc.uuid({ version: 7 }), outcome, attempt }, { requiredKeys: ['transactionId', 'outcome'] }),
    ),
  }),
  fc.record({ type: fc.constant('progress' as const), finishedThrough: fc.nat(), floor: fc.string(), highestId: fc.string() }),
  fc.constant({ type: 'open' as const }),
  fc.record({ type: fc.constant('late' as const), keepUntilMs: timeMs }),
);

describe('the coordinator record codec', () => {
  it('gives back every record that it encoded', () => {
    fc.assert(
      fc.property(records, (record) => {
        expect(decodeRecord('key', encodeRecord(record))).toEqual(record);
      }),
    );
  });

  it('writes by hand what the generated code writes', () => {
    fc.assert(
      fc.property(records, (record) => {
        const encoded = encodeRecord(record);
        expect(Buffer.from(CoordinatorRecord.encode(CoordinatorRecord.decode(encoded)).finish())).toEqual(Buffer.from(encoded));
      }),
      { numRuns: 500 },
    );
  });

  it('refuses a record of a newer format and one that is damaged, naming its key', () => {
    const newer = CoordinatorRecord.encode({ format: 2, record: { $case: 'open', value: {} } }).finish();
    expect(() => decodeRecord('open/x', newer)).toThrow(/open\/x has format 2.*newer version/);
    expect(() => decodeRecord('open/x', new Uint8Array([0xff]))).toThrow(/open\/x can't be decoded/);
    expect(() => decodeRecord('open/x', new Uint8Array())).toThrow(/open\/x holds nothing/);
  });

  it.each(['toString', 'A_NEWER_ONE'])('a cause with the reason %s, which is none here, is read as a refusal', (reason) => {
    const cause = { reason: reason as Reason, message: 'no' };
    const bytes = encodeRecord({ type: 'transaction', mode: 'two-phase-commit', outcome: 'abort', branches: [], cause, decideMs: 1, mixed: false });
    expect(decodeRecord('transaction/x', bytes)).toMatchObject({ cause: { reason: 'REFUSED_BY_PARTICIPANT', message: 'no' } });
  });

  it('stays within what the kernel says a cause and a record may take (P9)', () => {
    fc.assert(
      fc.property(cause, (failure) => {
        const record = { type: 'transaction', mode: 'two-phase-commit', outcome: 'abort', branches: [], decideMs: 1, mixed: false } as const;
        expect(encodeRecord({ ...record, cause: trimCause(failure) }).length).toBeLessThan(CAUSE_BYTES);
      }),
    );
    const mesh = new Harness();
    const id = idAt(mesh.nowMs, 1);
    const name = 'p'.repeat(63);
    const branches = Array.from({ length: MAX_BRANCHES }, (_, i) => branch(name, 2 ** 31 + i));
    mesh.execute(id, branches, { fingerprint: 'f'.repeat(64) });
    const prepares = mesh.take();
    const last = prepares.pop()!;
    for (const { branch: asked } of prepares) mesh.receive(votes.yes(asked));
    const vote = { type: 'message', message: votes.yes(last.branch) } as const;
    const { bytes } = mesh.kernel.cost(vote);
    mesh.step(vote);
    const written = [...mesh.store].reduce((sum, [key, record]) => sum + key.length + encodeRecord(record).length, 0);
    expect(written).toBeLessThan(bytes);
    expect(written).toBeLessThan(16 * 1024);
  });
});
