/**
 * The load of a counter: a process of its own that keeps a number of adds in flight on one AddStream.
 * Whatever results come in one turn of the event loop are followed by as many adds in one frame.
 */

import { randomUUIDv7 } from 'node:crypto';
import { CounterServiceClient, CounterServiceService } from '../../../services/gen/txmesh/counter/v1/counter.ts';
import { Latencies } from '../latencies.ts';
import { measured, runAsProcess, type LoadReport, type Phases } from '../measured.ts';
import { closeStream, openClient, openStream } from '../streams.ts';
import { Unanswered } from '../unanswered.ts';
import { bytesField, Reader, SEQUENCE_BYTES, varint, varintField, writeSequence } from '../wire.ts';

export interface CounterLoad extends Phases {
  readonly address: string;
  readonly counter: string;
  readonly inFlight: number;
}

export interface CounterReport extends LoadReport {
  /** Adds of the whole run, every one answered: by so much the counter must have grown. */
  readonly adds: number;
}

/** Fields of AddStreamRequest, SessionAdd, AddStreamResponse, AddResult. */
const REQUEST = { session: 2, settledBelow: 3, adds: 4 };
const ADD = { sequence: 1, counter: 2, amount: 3 };
const RESPONSE_RESULTS = 2;
const RESULT = { sequence: 1, error: 3 };
/** 1 as a sint64. */
const ZIGZAG_ONE = 2;
const FINISH_BOUND_MS = 60_000;

/** An add whose sequence is still to be filled in; the counter is the one of the add before. */
const TEMPLATE = bytesField(
  REQUEST.adds,
  Buffer.concat([Buffer.from(varint(ADD.sequence << 3)), Buffer.alloc(SEQUENCE_BYTES), varintField(ADD.amount, ZIGZAG_ONE)]),
);
const SEQUENCE_AT = TEMPLATE.length - SEQUENCE_BYTES - varintField(ADD.amount, ZIGZAG_ONE).length;

async function runLoad(options: CounterLoad, onWarm: () => void): Promise<CounterReport> {
  const client = openClient(CounterServiceClient, options.address);
  const failed = Promise.withResolvers<never>();
  const finished = Promise.withResolvers<void>();
  const latencies = new Latencies();
  const adds = new Unanswered();
  const session = bytesField(REQUEST.session, randomUUIDv7());
  const counter = bytesField(ADD.counter, options.counter);
  let measuring = false;
  let stopped = false;
  let scheduled = false;

  /** The first add of a frame names the counter. */
  const send = (count: number): void => {
    const first = bytesField(REQUEST.adds, Buffer.concat([varintField(ADD.sequence, adds.sent + 1), counter, varintField(ADD.amount, ZIGZAG_ONE)]));
    const head = Buffer.concat([session, varintField(REQUEST.settledBelow, adds.lowest), first]);
    const frame = Buffer.allocUnsafe(head.length + (count - 1) * TEMPLATE.length);
    head.copy(frame);
    const nowMs = performance.now();
    for (let i = 0, at = head.length; i < count; i++) {
      const sequence = adds.send(nowMs);
      if (i === 0) continue;
      TEMPLATE.copy(frame, at);
      writeSequence(frame, at + SEQUENCE_AT, sequence);
      at += TEMPLATE.length;
    }
    stream.write(frame);
  };

  const onResults = (frame: Buffer): void => {
    const nowMs = performance.now();
    const reader = new Reader(frame);
    let results = 0;
    while (reader.position < frame.length) {
      if (reader.next() !== RESPONSE_RESULTS) {
        reader.skip();
        continue;
      }
      const end = reader.end();
      while (reader.position < end) {
        const field = reader.next();
        if (field === RESULT.sequence) {
          const tookMs = adds.answer(reader.varint(), nowMs);
          if (measuring) latencies.add(tookMs);
        } else if (field === RESULT.error) return failed.reject(new Error(`an add was refused: ${frame.toString('latin1', reader.position, end)}`));
        else reader.skip();
      }
      results++;
    }
    if (stopped && adds.answered === adds.sent) finished.resolve();
    if (results > 0 && !scheduled) {
      scheduled = true;
      setImmediate(() => {
        scheduled = false;
        if (!stopped) send(options.inFlight - (adds.sent - adds.answered));
      });
    }
  };

  const stream = openStream(client, CounterServiceService.addStream.path, onResults, failed.reject);
  send(options.inFlight);
  const begin = (): void => {
    onWarm();
    measuring = true;
  };
  const used = await measured(options, begin, failed.promise);
  measuring = false;
  stopped = true;
  if (adds.answered === adds.sent) finished.resolve();
  const bound = setTimeout(() => failed.reject(new Error(`${adds.sent - adds.answered} of ${adds.sent} adds have no result`)), FINISH_BOUND_MS);
  await Promise.race([finished.promise, failed.promise]);
  clearTimeout(bound);
  closeStream(stream);
  client.close();
  return { completed: latencies.count, ...used, ...latencies.quantiles(), adds: adds.answered };
}

await runAsProcess(runLoad);
