/** Rate, errors and duration of gRPC methods, by the names of gRFC A66. Times in milliseconds. */

import type { Attributes, Counter, Histogram } from '@opentelemetry/api';
import { Labels } from './labels.ts';
import type { Metrics } from './metrics.ts';
import type { RequestMeter } from './requests.ts';

/** One method, as it is served, or as it is called at one address. */
export class MethodMeter {
  private readonly started: Counter;
  private readonly duration: Histogram;
  private readonly attributes: Attributes;
  private readonly requests: RequestMeter | undefined;
  private readonly byStatus = new Map<string, Attributes>();

  /** @param requests where each call is one request */
  constructor(started: Counter, duration: Histogram, attributes: Attributes, requests?: RequestMeter) {
    this.started = started;
    this.duration = duration;
    this.attributes = attributes;
    this.requests = requests;
  }

  /** @returns the moment, for {@link end}: monotonic. */
  begin(): number {
    this.started.add(1, this.attributes);
    return performance.now();
  }

  /** @param status the code's name: "OK", "UNAVAILABLE", … */
  end(beganMs: number, status: string): void {
    let attributes = this.byStatus.get(status);
    if (attributes === undefined) this.byStatus.set(status, (attributes = { ...this.attributes, 'grpc.status': status }));
    this.duration.record((performance.now() - beganMs) / 1000, attributes);
    this.requests?.endedAs(status);
  }
}

export class ServedMethods {
  private readonly metrics: Metrics;

  constructor(metrics: Metrics) {
    this.metrics = metrics;
  }

  /** @param path "/package.Service/Method" */
  unary(path: string): MethodMeter {
    return this.make(path, this.metrics.requests.of(path));
  }

  /** What travels on a stream is counted by its handlers. @param path "/package.Service/Method" */
  stream(path: string): MethodMeter {
    return this.make(path, undefined);
  }

  private make(path: string, requests: RequestMeter | undefined): MethodMeter {
    const { metrics } = this;
    const attributes = { 'grpc.method': path.slice(1) };
    return new MethodMeter(metrics.counter('grpc.server.call.started'), metrics.histogram('grpc.server.call.duration'), attributes, requests);
  }
}

export class CalledMethods {
  private readonly started: Counter;
  private readonly duration: Histogram;
  private readonly targets = new Labels('grpc.target');
  private readonly methods = new Map<string, Map<Attributes, MethodMeter>>();

  constructor(metrics: Metrics) {
    this.started = metrics.counter('grpc.client.attempt.started');
    this.duration = metrics.histogram('grpc.client.attempt.duration');
  }

  /** @param path "/package.Service/Method", @param address host:port */
  of(path: string, address: string): MethodMeter {
    let targets = this.methods.get(path);
    if (targets === undefined) this.methods.set(path, (targets = new Map()));
    const target = this.targets.of(address);
    let meter = targets.get(target);
    if (meter === undefined) targets.set(target, (meter = new MethodMeter(this.started, this.duration, { 'grpc.method': path.slice(1), ...target })));
    return meter;
  }
}
