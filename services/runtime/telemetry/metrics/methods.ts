/** Rate, errors and duration of gRPC methods, by the names of gRFC A66. Times in milliseconds. */

import type { Attributes, Counter, Histogram } from '@opentelemetry/api';
import { Labels } from './labels.ts';
import type { Metrics } from './metrics.ts';

/** One method, as it is served, or as it is called at one address. */
export class MethodMeter {
  private readonly started: Counter;
  private readonly duration: Histogram;
  private readonly attributes: Attributes;
  private readonly byStatus = new Map<string, Attributes>();

  constructor(started: Counter, duration: Histogram, attributes: Attributes) {
    this.started = started;
    this.duration = duration;
    this.attributes = attributes;
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
  }
}

export class ServedMethods {
  private readonly metrics: Metrics;

  constructor(metrics: Metrics) {
    this.metrics = metrics;
  }

  /** @param path "/package.Service/Method" */
  of(path: string): MethodMeter {
    const { metrics } = this;
    return new MethodMeter(metrics.counter('grpc.server.call.started'), metrics.histogram('grpc.server.call.duration'), {
      'grpc.method': path.slice(1),
    });
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
