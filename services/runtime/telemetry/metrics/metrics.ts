/**
 * The instruments of one process. Whoever records has it handed in; where nobody collects there is
 * none, and nothing is done for it.
 */

import type { Attributes, Counter, Histogram, Meter, Observable } from '@opentelemetry/api';
import { INSTRUMENTS, type CounterName, type HistogramName, type Instrument, type WatchedName } from './instruments.ts';
import { Requests } from './requests.ts';
import type { WatchedHistograms } from './watched-histograms.ts';

/** Tells a value that was just read. */
export type Observe<Name extends WatchedName = WatchedName> = (name: Name, value: number, attributes?: Attributes) => void;

export class Metrics {
  private readonly meter: Meter;
  private readonly counters = new Map<CounterName, Counter>();
  private readonly histograms = new Map<HistogramName, Histogram>();
  private readonly watched = new Map<WatchedName, Observable>();
  readonly requests: Requests;

  /** @param histograms that the readers were given, too */
  constructor(meter: Meter, histograms: WatchedHistograms) {
    this.meter = meter;
    this.requests = new Requests((method) => histograms.create('txmesh.stream.request.duration', { 'grpc.method': method }));
    this.watch(['txmesh.request.finished'], (observe) => this.requests.read((value, attributes) => observe('txmesh.request.finished', value, attributes)));
  }

  counter(name: CounterName): Counter {
    return kept(this.counters, name, () => this.meter.createCounter(name, optionsOf(name)));
  }

  histogram(name: HistogramName): Histogram {
    return kept(this.histograms, name, () => this.meter.createHistogram(name, optionsOf(name)));
  }

  /**
   * Reads whenever somebody collects; what is not observed then is not reported. Each attribute set is
   * to be observed by one reader alone.
   * @returns what ends it
   */
  watch<Name extends WatchedName>(names: readonly Name[], read: (observe: Observe<Name>) => void): () => void {
    const observables = names.map((name) => this.observable(name));
    const callback: Parameters<Meter['addBatchObservableCallback']>[0] = (result) =>
      read((name, value, attributes) => result.observe(this.observable(name), value, attributes));
    this.meter.addBatchObservableCallback(callback, observables);
    return () => this.meter.removeBatchObservableCallback(callback, observables);
  }

  private observable(name: WatchedName): Observable {
    return kept(this.watched, name, () =>
      INSTRUMENTS[name].kind === 'gauge'
        ? this.meter.createObservableGauge(name, optionsOf(name))
        : this.meter.createObservableCounter(name, optionsOf(name)),
    );
  }
}

function kept<Name, Value>(known: Map<Name, Value>, name: Name, make: () => Value): Value {
  let value = known.get(name);
  if (value === undefined) known.set(name, (value = make()));
  return value;
}

function optionsOf(name: keyof typeof INSTRUMENTS) {
  const { description, unit, buckets }: Instrument = INSTRUMENTS[name];
  return { description, unit, ...(buckets && { advice: { explicitBucketBoundaries: [...buckets] } }) };
}
