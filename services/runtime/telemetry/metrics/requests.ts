/**
 * Requests by method and status: unary calls, and what travels on streams. A stream carries far more of them
 * than instruments could be told of one by one (each time the SDK makes a text of the attributes), so they
 * are numbers in arrays here, and are read when somebody collects.
 */

import type { Attributes } from '@opentelemetry/api';
import { REASONS, type Reason } from '../../../kernel/failure.ts';
import type { WatchedHistogram } from './watched-histograms.ts';

/** By their numbers, as google.rpc.Code has them. */
const CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;
const NUMBERS: ReadonlyMap<string, number> = new Map(CODES.map((name, code) => [name, code]));
const UNKNOWN = NUMBERS.get('UNKNOWN')!;

/** Reported before there is one: who asks for a rate would not see the first of a series that begins with them. */
const FROM_THE_START: ReadonlySet<string> = new Set(['OK', 'UNKNOWN', 'DEADLINE_EXCEEDED', 'INTERNAL', 'UNAVAILABLE']);

type Observe = (value: number, attributes: Attributes) => void;

/** The requests of one method. */
export class RequestMeter {
  private readonly counts = new Float64Array(CODES.length);
  private readonly attributes: readonly Attributes[];

  constructor(method: string) {
    this.attributes = CODES.map((status) => ({ 'grpc.method': method, 'grpc.status': status }));
  }

  /** @param code as in google.rpc.Status; 0: it was carried out */
  ended(code: number, times = 1): void {
    this.counts[code < CODES.length ? code : UNKNOWN]! += times;
  }

  /** @param status the code's name */
  endedAs(status: string, times = 1): void {
    this.ended(NUMBERS.get(status) ?? UNKNOWN, times);
  }

  failed(reason: Reason, times = 1): void {
    this.endedAs(REASONS[reason], times);
  }

  read(observe: Observe): void {
    CODES.forEach((status, code) => {
      const count = this.counts[code]!;
      if (count > 0 || FROM_THE_START.has(status)) observe(count, this.attributes[code]!);
    });
  }
}

/** Of a stream's requests it is measured here, too, how long they took. */
export class StreamRequestMeter extends RequestMeter {
  private readonly durations: WatchedHistogram;

  constructor(method: string, durations: WatchedHistogram) {
    super(method);
    this.durations = durations;
  }

  /** From taking a request off the stream to its answer. */
  took(durationMs: number, times = 1): void {
    this.durations.add(durationMs / 1000, times);
  }
}

export class Requests {
  private readonly methods = new Map<string, RequestMeter>();
  private readonly durationsOf: (method: string) => WatchedHistogram;

  constructor(durationsOf: (method: string) => WatchedHistogram) {
    this.durationsOf = durationsOf;
  }

  /** @param path "/package.Service/Method" */
  of(path: string): RequestMeter {
    return this.kept(path, (method) => new RequestMeter(method));
  }

  /** Of a stream whose requests are measured: the same one, whoever asks. @param path "/package.Service/Method" */
  stream(path: string): StreamRequestMeter {
    return this.kept(path, (method) => new StreamRequestMeter(method, this.durationsOf(method)));
  }

  read(observe: Observe): void {
    for (const meter of this.methods.values()) meter.read(observe);
  }

  private kept<Meter extends RequestMeter>(path: string, make: (method: string) => Meter): Meter {
    const method = path.slice(1);
    let meter = this.methods.get(method) as Meter | undefined;
    if (meter === undefined) this.methods.set(method, (meter = make(method)));
    return meter;
  }
}
