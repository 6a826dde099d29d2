/**
 * Generated garbage at every handler of a service: a proper status or a proper answer, and a mesh that
 * goes on working.
 */

import { readFileSync } from 'node:fs';
import { create, createFileRegistry, fromBinary, toBinary, type DescField, type DescMessage, type DescMethod, type Message } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { BinaryReader } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { CoordinatorServiceService as coordinator, State } from '../../../gen/txmesh/coordinator/v1/coordinator.ts';
import { REASONS } from '../../../kernel/failure.ts';
import type { NodeSettings } from '../../../mesh.ts';
import { FailureError } from '../../errors/failure-error.ts';
import type { Method } from '../../transport/channels.ts';
import { newId, putOp, startMesh, type Meshed } from './nodes.ts';

const descriptors = readFileSync(new URL('../../../gen/descriptors.binpb', import.meta.url));
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));

/** What makes a message nearly right. */
export interface Vocabulary {
  /** Values that a text field of this name may rightly have; of fields that are not named, none is right. */
  readonly texts: Readonly<Record<string, readonly string[]>>;
  /** Values that a field of bytes may rightly have. */
  readonly bytes: readonly Uint8Array[];
}

const RUNS = 120;
const PARTITIONS = 2;
/** Spoken between replicas alone, which believe each other's epochs: it gets none from the future. */
const BELIEVING = ['Exchange'];

const hostileText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom('', '\u0000', '../../x', 'a'.repeat(2000), 'é'.repeat(600), '{', '{}', '{a}b', '\u{10ffff}', '%s%n', 'null', '__proto__', 'constructor'),
);

const small = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0, max: 3 }) }, { weight: 1, arbitrary: fc.integer() });
const long = fc.oneof({ weight: 4, arbitrary: fc.bigInt({ min: 0n, max: 3n }) }, { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }) });

/** Messages that are nearly right by a vocabulary. */
class Generator {
  private readonly vocabulary: Vocabulary;
  private readonly epochs: fc.Arbitrary<bigint>;

  constructor(vocabulary: Vocabulary, epochs: fc.Arbitrary<bigint>) {
    this.vocabulary = vocabulary;
    this.epochs = epochs;
  }

  /** Nearly right, wrong, or no message at all. */
  bytesOf(type: DescMessage): fc.Arbitrary<Buffer> {
    const encoded = this.messageOf(type, 0).map((message) => Buffer.from(toBinary(type, message)));
    const broken = fc.tuple(encoded, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([bytes, at, value]) => {
      if (bytes.length > 0) bytes[at % bytes.length] = value;
      return bytes;
    });
    return fc.oneof({ weight: 8, arbitrary: encoded }, { weight: 2, arbitrary: broken }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) });
  }

  private textOf(name: string): fc.Arbitrary<string> {
    const choices = this.vocabulary.texts[name];
    return choices === undefined ? hostileText : fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...choices) }, { weight: 1, arbitrary: hostileText });
  }

  private scalar(field: DescField): fc.Arbitrary<unknown> {
    if (field.name.endsWith('epoch')) return field.proto.options?.jstype === 2 ? this.epochs.map(Number) : this.epochs;
    if (field.fieldKind === 'enum' || (field.fieldKind === 'list' && field.listKind === 'enum')) return small;
    switch (field.scalar) {
      case 9:
        return this.textOf(field.name);
      case 12:
        return fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.constantFrom(...this.vocabulary.bytes));
      case 8:
        return fc.boolean();
      case 13:
      case 7:
        return small.map((number) => number >>> 0);
      case 3:
      case 18:
        return fc.oneof(long, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
      case 4:
        // Some are handed to JavaScript as numbers, some as bigints.
        return field.proto.options?.jstype === 2 ? fc.oneof(long.map(Number), fc.constant(Number.MAX_SAFE_INTEGER)) : long;
      default:
        return small;
    }
  }

  /** Any message of a type. */
  private messageOf(type: DescMessage, depth: number): fc.Arbitrary<Message> {
    const fields: Record<string, fc.Arbitrary<unknown>> = {};
    for (const field of type.fields) {
      if (field.oneof !== undefined) continue;
      if (field.fieldKind === 'map') {
        fields[field.localName] = fc.dictionary(hostileText, hostileText, { maxKeys: 3 });
        continue;
      }
      const nested = field.message;
      if (nested !== undefined && depth > 4) continue;
      const one = nested === undefined ? this.scalar(field) : this.messageOf(nested, depth + 1);
      if (field.fieldKind === 'list') fields[field.localName] = fc.array(one, { maxLength: 4 });
      else fields[field.localName] = nested === undefined ? one : fc.option(one, { nil: undefined, freq: 4 });
    }
    for (const oneof of type.oneofs) {
      const choices = oneof.fields.map((field) => {
        const value = field.message === undefined ? this.scalar(field) : this.messageOf(field.message, depth + 1);
        return value.map((chosen) => ({ case: field.localName, value: chosen }));
      });
      fields[oneof.localName] = fc.oneof(fc.constant({ case: undefined }), ...choices);
    }
    return fc.record(fields).map((init) => create(type, init as never));
  }
}

function rawMethod({ parent, name }: DescMethod): Method<Buffer, undefined> {
  return {
    path: `/${parent.typeName}/${name}`,
    requestSerialize: (bytes) => bytes,
    // A deserializer is handed a reader, which is to be at its end.
    responseDeserialize(reader) {
      const { len } = reader as unknown as BinaryReader;
      (reader as unknown as BinaryReader).pos = len;
      return undefined;
    },
  };
}

/** A failure that says what is wrong, and not that something of ours is. */
function expectProper(error: unknown): void {
  expect(error).toBeInstanceOf(FailureError);
  const { reason, message } = (error as FailureError).failure;
  expect(Object.keys(REASONS)).toContain(reason);
  expect(message).not.toBe('');
  expect(`${reason}: ${message}`).not.toMatch(/^INTERNAL/);
}

async function send(mesh: Meshed, method: DescMethod, bytes: Buffer): Promise<void> {
  const raw = rawMethod(method);
  const { address } = mesh.nodes[0]!;
  const options = { deadlineMs: Date.now() + 300 };
  try {
    if (method.methodKind === 'unary') await mesh.channels.unary(address, raw, bytes, options);
    else if (method.methodKind === 'server_streaming') {
      const stream = mesh.channels.stream(address, raw, bytes, options);
      await stream.next();
      await stream.return(undefined);
    } else
      await new Promise<void>((resolve, reject) => {
        const stream = mesh.channels.duplex(address, raw, options);
        stream.on('data', () => undefined);
        stream.once('end', resolve);
        stream.once('error', (error) => reject(new FailureError({ reason: 'CANCELLED', message: error.message })));
        stream.write(bytes);
        stream.end();
      });
  } catch (error) {
    expectProper(error);
  }
}

/**
 * Declares a test for each method of the services.
 * @param services like keyvalue.v1.KeyValueService
 * @param settings of the mesh, beside its coordinator and its key-value participants
 * @param prepare makes what the vocabulary names
 */
export function testGarbage(services: readonly string[], settings: Partial<NodeSettings>, prepare: (mesh: Meshed) => Vocabulary | Promise<Vocabulary>): void {
  let mesh: Meshed;
  let vocabulary: Vocabulary;
  beforeAll(async () => {
    mesh = await startMesh({ partitions: PARTITIONS, ...settings });
    vocabulary = await prepare(mesh);
  });
  afterAll(() => mesh.close());
  beforeEach(() => {
    mesh.log.length = 0;
  });

  const methods = services.flatMap((name) => registry.getService(`txmesh.${name}`)!.methods);
  test.each(methods.map((method) => [`${method.parent.name}.${method.name}`, method] as const))('%s', async (_, method) => {
    const generator = new Generator(vocabulary, BELIEVING.includes(method.name) ? fc.bigInt({ min: 0n, max: 3n }) : long);
    await fc.assert(
      fc.asyncProperty(fc.array(generator.bytesOf(method.input), { minLength: 8, maxLength: 8 }), async (messages) => {
        await Promise.all(messages.map((bytes) => send(mesh, method, bytes)));
        expect(mesh.log.filter((line) => /a handler failed|internal error|term ended/.test(line))).toEqual([]);
      }),
      { numRuns: RUNS / 8 },
    );
    const { transaction } = await mesh.call(coordinator.execute, {
      transactionId: newId(),
      operations: [putOp('inventory', `after-${method.name}`, '1'), putOp('payments', `after-${method.name}`, '1')],
      timeout: undefined,
      firstTryTime: undefined,
      mode: 0,
    });
    expect([State.COMMITTING, State.COMMITTED]).toContain(transaction!.state);
  });
}
