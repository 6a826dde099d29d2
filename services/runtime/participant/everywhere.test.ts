import { describe, expect, test } from 'vitest';
import * as grpc from '@grpc/grpc-js';
import type { Failure } from '../../kernel/failure.ts';
import { partitionOf } from '../../kernel/hash.ts';
import type { CommandOf, ParticipantCommand, ParticipantReply, ResourceTypes } from '../../kernel/participant/types.ts';
import { FailureError } from '../errors/failure-error.ts';
import type { Requester } from '../partition/term.ts';
import { Events } from '../router/events.ts';
import type { Place, Places } from '../router/place.ts';
import { Router } from '../router/router.ts';
import { failureOf } from '../router/testing/nodes.ts';
import { ManualClock } from '../store/testing/manual-clock.ts';
import type { CallOptions, Method } from '../transport/channels.ts';
import type { CallContext } from '../transport/service.ts';
import { everywhere } from './everywhere.ts';
import type { KindOperations } from './operations.ts';
import type { ParticipantTerm } from './service.ts';
import type { Transaction } from './transactions.ts';

/** Operations that are texts. */
interface Words extends ResourceTypes {
  readonly operation: string;
}
interface CreateRequest {
  readonly name: string;
}
interface CreateResponse {
  readonly createdBy: string;
}

const ID = '01900000-0000-7000-8000-000000000000';
const START_MS = new ManualClock().nowMs();
const create = { path: '/words/Create' } as Method<CreateRequest, CreateResponse>;
const operation = { typeUrl: 'words/Create', value: Buffer.from('topic') };
const detail = { typeUrl: 'words/Conflict', value: Buffer.from('held') };
const conflict: Failure = { reason: 'LOCK_CONFLICT', message: 'topic is held', metadata: { lock: 'topic' }, detail };

const kind: KindOperations<Words> = {
  name: 'key-value',
  label: 'list of words',
  readOnlyTypes: new Set(),
  decodeOperations: (opaque) =>
    opaque[0]!.typeUrl === operation.typeUrl
      ? opaque.map(({ value }) => Buffer.from(value).toString())
      : { reason: 'UNKNOWN_OPERATION', message: `there is no ${opaque[0]!.typeUrl}` },
  fingerprintOf: (operations) => operations.join(),
  misplaced: () => undefined,
};

class World {
  readonly clock = new ManualClock();
  readonly local: CommandOf<'local', Words>[] = [];
  readonly forwarded: { readonly address: string; readonly request: unknown; readonly options: CallOptions | undefined }[] = [];
  readonly executed: Transaction[] = [];
  /** Where the only partition is led. */
  place: 'here' | 'elsewhere' = 'here';
  reply: ParticipantReply<Words> = { type: 'done', revision: 7 };
  /** Why the coordinator aborts. */
  cause: Failure | undefined;
  noRoom: Failure | undefined;

  run(partitions: number, fields: Partial<Parameters<typeof everywhere>[1]> = {}): Promise<CreateResponse> {
    const context: CallContext = {
      signal: new AbortController().signal,
      deadlineMs: START_MS + 10_000,
      traceparent: undefined,
      forwarded: false,
      peer: 'test',
      metadata: new grpc.Metadata(),
    };
    const services = {
      kind,
      clock: this.clock,
      router: this.router(),
      transactions: {
        execute: async (transaction: Transaction) => {
          this.executed.push(transaction);
          return this.cause;
        },
      },
    };
    const service = { name: 'words', kind: 'key-value', partitions } as const;
    const call = { service, transactionId: ID, operation, timeoutMs: 2_000, method: create, request: { name: 'topic' }, context, ...fields };
    return everywhere(services, call as Parameters<typeof everywhere<Words, unknown, CreateRequest, CreateResponse>>[1], () => ({ createdBy: 'here' }));
  }

  private router(): Router<ParticipantTerm<Words>> {
    const term: ParticipantTerm<Words> = {
      epoch: 1,
      events: new Events<unknown>(),
      forget: () => undefined,
      submit: (command: ParticipantCommand<Words>) => {
        if (command.type !== 'local') throw new Error(`not expected: ${command.type}`);
        this.local.push(command);
        (command.origin as Requester<ParticipantReply<Words>>).onReply(this.reply);
      },
    };
    const elsewhere = { replica: 'other', address: 'other:1', epoch: 1 };
    const places = {
      find: (): Place<ParticipantTerm<Words>> => (this.place === 'here' ? { type: 'local', term } : { type: 'remote', leader: elsewhere }),
    };
    const channels = {
      unary: async (address: string, _: unknown, request: unknown, options?: CallOptions) => {
        this.forwarded.push({ address, request, options });
        return { createdBy: address };
      },
    };
    return new Router({
      places: places as unknown as Places<ParticipantTerm<Words>>,
      channels: channels as unknown as Router<ParticipantTerm<Words>>['channels'],
      clock: this.clock,
      refuseWork: () => this.noRoom,
    });
  }
}

describe('with one partition', () => {
  test('it is a local transaction under the id, where the partition is led', async () => {
    const world = new World();
    expect(await world.run(1)).toEqual({ createdBy: 'here' });
    expect(world.local).toEqual([
      expect.objectContaining({ transactionId: ID, operations: ['topic'], fingerprint: 'topic', deadlineMs: START_MS + 2_000 }),
    ]);
    expect(world.executed).toEqual([]);
  });

  test('it never waits longer than its caller', async () => {
    const world = new World();
    await world.run(1, { timeoutMs: 60_000 });
    await world.run(1, { timeoutMs: undefined });
    expect(world.local.map(({ deadlineMs }) => deadlineMs)).toEqual([START_MS + 10_000, START_MS + 10_000]);
  });

  test('the request is forwarded to where the partition is led, and the answer is that one', async () => {
    const world = new World();
    world.place = 'elsewhere';
    expect(await world.run(1)).toEqual({ createdBy: 'other:1' });
    expect(world.forwarded).toEqual([{ address: 'other:1', request: { name: 'topic' }, options: expect.objectContaining({ forwarded: true }) }]);
    expect(world.local).toEqual([]);
  });

  test('a refusal comes with all its details', async () => {
    const world = new World();
    world.reply = { type: 'failure', failure: conflict };
    expect(await failureOf(world.run(1))).toEqual(conflict);
  });

  test('an operation that the kind does not know is refused', async () => {
    const unknown = { typeUrl: 'words/Other', value: Buffer.alloc(0) };
    expect((await failureOf(new World().run(1, { operation: unknown }))).reason).toBe('UNKNOWN_OPERATION');
  });
});

describe('with several partitions', () => {
  test('it is one transaction under the id, with the operation once for each partition', async () => {
    const world = new World();
    expect(await world.run(5)).toEqual({ createdBy: 'here' });
    expect(world.executed).toHaveLength(1);
    const [{ transactionId, timeoutMs, operations }] = world.executed as [Transaction];
    expect([transactionId, timeoutMs]).toEqual([ID, 2_000]);
    expect(operations.map(({ routingKey }) => partitionOf(routingKey, 5))).toEqual([0, 1, 2, 3, 4]);
    expect(operations.every((each) => each.participant === 'words' && each.operation === operation)).toBe(true);
    expect(world.local).toEqual([]);
  });

  test('tried again, it has the same content, so that it has the same outcome (T10)', async () => {
    const world = new World();
    await world.run(5);
    await world.run(5);
    expect(world.executed[1]).toEqual(world.executed[0]);
  });

  test('the cause of an abort comes with all its details', async () => {
    const world = new World();
    world.cause = conflict;
    expect(await failureOf(world.run(2))).toEqual(conflict);
  });
});

test.each([1, 2])('nothing is begun where there is no room for new work, with %i partitions', async (partitions) => {
  const world = new World();
  world.noRoom = { reason: 'STORE_FULL', message: 'full' };
  await expect(world.run(partitions)).rejects.toThrow(FailureError);
  expect([world.local, world.executed]).toEqual([[], []]);
});
