import { BinaryReader } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Message,
  PublishStreamRequest,
  PublishStreamResponse,
  PullResponse,
  ReceivedMessage,
  StreamingPullRequest,
  StreamingPullResponse,
} from '../gen/txmesh/queue/v1/queue.ts';
import type { NewMessage } from '../kernel/queue/types.ts';
import { toDuration } from '../runtime/transport/time.ts';
import {
  decodeConsumerFrame,
  decodePublishFrame,
  encodeDeliveryFrame,
  encodePublishAnswer,
  encodePullResponse,
  peekReceived,
  splitPullResponse,
} from './codec-frames.ts';
import { formatAckId, formatMessageId, parseAckId, parseMessageId } from './codec-ids.ts';
import { messagePort } from './codec-messages.ts';

const NOW = 1_700_000_000_000;

/** A message as it is read from bytes of this kind of array. */
const reread = (bytes: Uint8Array): Message => Message.decode(Uint8Array.from(bytes));
const text = fc.oneof(fc.string({ maxLength: 20 }), fc.string({ unit: 'grapheme', maxLength: 20 }));
const duration = fc.integer({ min: 1, max: 10_000_000 }).map(toDuration);
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const attributeKey = fc.string({ minLength: 1, maxLength: 10 }).filter((key) => key !== '__proto__');

const message: fc.Arbitrary<Message> = fc.record({
  data: fc.uint8Array({ maxLength: 300 }),
  attributes: fc.dictionary(attributeKey, fc.oneof(text, fc.constant('v'.repeat(200))), { maxKeys: 4, noNullPrototype: true }),
  orderingKey: fc.oneof(fc.constant(''), fc.string({ unit: 'grapheme-ascii', maxLength: 20 }), fc.constantFrom('é', 'k'.repeat(300))),
  priority: fc.integer({ min: 0, max: 9 }),
  deliverTime: fc.constant(undefined),
  delay: maybe(duration),
  timeToLive: maybe(duration),
  deduplicationId: fc.constantFrom('', 'one'),
  traceparent: fc.constantFrom('', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
});

describe('publish frames', () => {
  test('are read as the generated code reads them', () => {
    const calls = fc.array(fc.record({ sequence: fc.nat(Number.MAX_SAFE_INTEGER), message }), { maxLength: 5 });
    fc.assert(
      fc.property(fc.record({ participant: text, topic: text, session: text, settledBelow: fc.nat(Number.MAX_SAFE_INTEGER), calls }), (request) => {
        const frame = decodePublishFrame(PublishStreamRequest.encode(request).finish());
        expect(frame).toMatchObject({ participant: request.participant, topic: request.topic, session: request.session, settledBelow: request.settledBelow });
        expect(frame.sequences).toEqual(request.calls.map(({ sequence }) => sequence));
        frame.messages.forEach((found, i) => {
          const sent = request.calls[i]!.message;
          if ('reason' in found) {
            // Only what the rules do not take.
            expect(found.violations!.length).toBeGreaterThan(0);
            return;
          }
          expect(reread(found.encoded)).toEqual(reread(Message.encode(sent).finish()));
          expect(found).toMatchObject({ orderingKey: sent.orderingKey, priority: sent.priority, deduplicationId: sent.deduplicationId });
          expect(found.delayMs > 0).toBe(sent.delay !== undefined);
          expect(found.timeToLiveMs > 0).toBe(sent.timeToLive !== undefined);
        });
      }),
      { numRuns: 500 },
    );
  });

  test('a message that breaks a rule is refused by itself, with the rule', () => {
    const empty = Message.decode(new Uint8Array());
    const bad = [
      { ...empty, priority: 10 },
      { ...empty, data: new Uint8Array(1_048_577) },
      { ...empty, orderingKey: 'a\nb' },
      { ...empty, attributes: { '': 'x' } },
      { ...empty, attributes: { x: 'v'.repeat(1025) } },
      { ...empty, deduplicationId: 'd'.repeat(257) },
      { ...empty, delay: toDuration(1000), deliverTime: { seconds: 5n, nanos: 0 } },
    ];
    const calls = [...bad.map((each) => ({ sequence: 1, message: each })), { sequence: 2, message: undefined }, { sequence: 3, message: empty }];
    const { messages } = decodePublishFrame(PublishStreamRequest.encode({ participant: '', topic: '', session: '', settledBelow: 0, calls }).finish());
    const fields = messages.map((found) => ('reason' in found ? found.violations![0]!.field : 'none'));
    expect(fields).toEqual(['priority', 'data', 'ordering_key', 'attributes.key', 'attributes["x"]', 'deduplication_id', 'delay', 'message', 'none']);
  });

  test('any bytes give a frame or an error, and text that is not UTF-8 never passes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        try {
          const { messages } = decodePublishFrame(bytes);
          for (const found of messages) if (!('reason' in found)) Message.decode(new BinaryReader((found as NewMessage).encoded));
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
      { numRuns: 3000 },
    );
    const bytes = Message.encode({ ...Message.decode(new Uint8Array()), attributes: { kkkk: 'v' } }).finish();
    bytes[bytes.indexOf(0x6b)] = 0xff;
    const frame = Buffer.concat([Buffer.from([0x2a, bytes.length + 2, 0x12, bytes.length]), bytes]);
    expect(decodePublishFrame(frame).messages).toMatchObject([{ reason: 'MALFORMED_MESSAGE' }]);
  });

  test('answers are what the generated code reads', () => {
    const answer = {
      published: [{ sequence: 5, count: 3, partition: 2, incarnation: 0, position: 17 }, { sequence: 9, count: 1, partition: 0, incarnation: 7, position: 1 }],
      refused: [{ sequence: 8, count: 1, failure: { reason: 'OVERLOADED' as const, message: 'full', retryAfterMs: 10 } }],
    };
    expect(PublishStreamResponse.decode(encodePublishAnswer(answer))).toMatchObject({
      published: [{ sequence: 5, count: 3, messageId: '2-17' }, { sequence: 9, count: 1, messageId: '0.7-1' }],
      refused: [{ sequence: 8, count: 1, status: { message: 'full' } }],
    });
  });
});

describe('consumer frames', () => {
  test('are read as the generated code reads them', () => {
    const ids = fc.array(fc.string({ unit: 'grapheme-ascii', maxLength: 20 }), { maxLength: 5 });
    const modify = fc.array(fc.record({ ackId: fc.string({ unit: 'grapheme-ascii', maxLength: 20 }), ackDeadline: maybe(duration) }), { maxLength: 3 });
    const request = fc.record({
      participant: text,
      subscription: text,
      ackDeadline: maybe(duration),
      maxOutstandingMessages: fc.nat(1_000_000),
      maxOutstandingBytes: fc.nat(Number.MAX_SAFE_INTEGER),
      acknowledgeIds: ids,
      modifyDeadlines: modify,
      sequence: fc.nat(Number.MAX_SAFE_INTEGER),
    });
    fc.assert(
      fc.property(request, (sent) => {
        const frame = decodeConsumerFrame(StreamingPullRequest.encode(sent).finish());
        expect(frame).toMatchObject({ participant: sent.participant, subscription: sent.subscription, acknowledge: sent.acknowledgeIds, sequence: sent.sequence });
        expect(frame).toMatchObject({ maxMessages: sent.maxOutstandingMessages, maxBytes: sent.maxOutstandingBytes });
        expect(frame.modify.map(({ ackId }) => ackId)).toEqual(sent.modifyDeadlines.map(({ ackId }) => ackId));
      }),
    );
  });

  test('any bytes give a frame or an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeConsumerFrame(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('deliveries are what the generated code reads, also after a way over another replica (Q13)', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 4 }), (messages) => {
        const delivered = messages.map((each, i) => ({
          position: i + 1,
          generation: 36,
          attempt: 2,
          publishMs: NOW + i,
          encoded: Message.encode(each).finish(),
        }));
        const frame = [{ route: '3', partition: 5, incarnation: 0, messages: delivered }];
        const pulled = PullResponse.decode(encodePullResponse(frame, []));
        expect(pulled.messages.map((each) => reread(Message.encode(each.message!).finish()))).toEqual(messages.map((each) => reread(Message.encode(each).finish())));
        pulled.messages.forEach((each, i) => {
          expect(each).toMatchObject({ ackId: `3:10.${(i + 1).toString(36)}.2`, messageId: `5-${i + 1}`, deliveryAttempt: 2 });
          expect(each.publishTime).toEqual({ seconds: 1_700_000_000n, nanos: i * 1_000_000 });
        });
        const parts = splitPullResponse(encodePullResponse(frame, []));
        parts.forEach((part, i) => expect(peekReceived(part)).toEqual({ ackId: pulled.messages[i]!.ackId, bytes: delivered[i]!.encoded.length }));
        const failures = [{ ackId: 'x', failure: { reason: 'ACK_EXPIRED' as const, message: 'late' } }];
        const stream = StreamingPullResponse.decode(encodeDeliveryFrame({ delivered: [], forwarded: parts, confirmedSequence: 4, failures }));
        expect(stream.messages).toEqual(pulled.messages);
        expect(stream).toMatchObject({ confirmedSequence: 4, failures: [{ ackId: 'x', status: { message: 'late' } }] });
      }),
    );
    expect(ReceivedMessage.decode(new Uint8Array()).ackId).toBe('');
  });
});

describe('ids', () => {
  const whole = fc.nat(Number.MAX_SAFE_INTEGER);
  test('come back as they were', () => {
    const tag = fc.record({ generation: whole, position: whole.filter((n) => n > 0), attempt: fc.integer({ min: 1, max: 0xffff_ffff }), incarnation: whole });
    fc.assert(fc.property(tag, fc.constantFrom('0', 'a1'), (each, route) => void expect(parseAckId(formatAckId(route, each))).toEqual({ route, tag: each })));
    const id = fc.record({ partition: fc.nat(65_535), incarnation: whole, position: whole.filter((n) => n > 0) });
    fc.assert(fc.property(id, (each) => void expect(parseMessageId(formatMessageId(each))).toEqual(each)));
  });

  test('anything else is none', () => {
    fc.assert(fc.property(fc.string(), (each) => void parseAckId(each)));
    for (const each of ['', ':1.1.1', 'a:', 'a:1.1', 'a:1.0.1', 'a:1.1.0', 'a:1.1.1.1.1', 'a:1..1', 'a:1.1.Z', `a:1.${'z'.repeat(40)}.1`]) expect(parseAckId(each)).toBe(undefined);
    for (const each of ['', '1', '1-0', '-1', '1-x', '1.2.3-4', `1-${'9'.repeat(17)}`]) expect(parseMessageId(each)).toBe(undefined);
  });
});

test('the kernel reads and adds attributes', () => {
  const encoded = Message.encode({ ...Message.decode(new Uint8Array()), data: Buffer.from('x'), attributes: { a: '1' } }).finish();
  const annotated = messagePort.annotate(encoded, new Map([['b', '2']]));
  expect(messagePort.attributesOf(annotated)).toEqual(new Map([['a', '1'], ['b', '2']]));
});
