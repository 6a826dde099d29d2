/** Follows which partitions are led here, and has each do what it does of itself. */

import type { Clock, Timer } from '../../runtime/clock.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { Metrics } from '../../runtime/telemetry/metrics/metrics.ts';
import { ageOf, earlier } from '../../runtime/telemetry/metrics/term-counts.ts';
import { Background, type Led } from './background.ts';
import { SlotMover } from './mover.ts';
import type { PartitionPort } from './partition-port.ts';
import type { CounterServices, CounterTerm } from './service.ts';
import { Teller } from './teller.ts';

/** A term may begin a moment after its leader is known. */
const LOOK_AGAIN_MS = 1_000;

export interface LeadingOptions {
  readonly services: CounterServices;
  readonly port: PartitionPort;
  /** host:port of other clusters whose replicated counters are told of ours. */
  readonly peers: readonly string[];
  log(message: string, fields: Record<string, unknown>): void;
}

export class Leading {
  private readonly options: LeadingOptions;
  private readonly led = new Map<CounterTerm, { readonly background: Background; readonly service: Service; readonly tellers: readonly Teller[] }>();
  private readonly unsubscribe: () => void;
  private readonly unwatch: (() => void) | undefined;
  private timer: Timer | undefined;

  constructor(options: LeadingOptions) {
    this.options = options;
    this.unsubscribe = options.services.view.onChange(() => this.look());
    this.schedule();
    const { metrics, clock } = options.services;
    this.unwatch = metrics && this.watchNews(metrics, clock);
  }

  close(): void {
    this.timer?.cancel();
    this.unsubscribe();
    this.unwatch?.();
    for (const { background } of this.led.values()) background.close();
    this.led.clear();
  }

  private schedule(): void {
    this.timer = this.options.services.clock.setTimer(LOOK_AGAIN_MS, () => {
      this.look();
      this.schedule();
    });
  }

  private look(): void {
    const { services } = this.options;
    for (const service of services.view.services.values()) {
      if (service.kind !== services.kind.name) continue;
      for (let partition = 0; partition < service.partitions; partition++) {
        const place = services.router.places.now(service.name, partition);
        if (place.type === 'local' && !this.led.has(place.term)) void this.lead(service, partition, place.term);
      }
    }
  }

  /** Since when something of a service's replicated counters is not told, by its name. @returns what ends it */
  private watchNews(metrics: Metrics, clock: Clock): () => void {
    return metrics.watch(['txmesh.counter.freshness'], (observe) => {
      const oldest = new Map<string, number | undefined>();
      for (const { service, tellers } of this.led.values())
        for (const { behindSinceMs } of tellers) oldest.set(service.name, earlier(oldest.get(service.name), behindSinceMs));
      for (const [name, oldestMs] of oldest)
        observe('txmesh.counter.freshness', ageOf(oldestMs, clock.nowMs()), { 'txmesh.participant': name, 'txmesh.kind': 'replicated' });
    });
  }

  /** Until the term ends. */
  private async lead(service: Service, partition: number, term: CounterTerm): Promise<void> {
    const { services, port, peers, log } = this.options;
    const led: Led = { services, port, service, partition, term };
    const background = new Background(led, log);
    const others = Array.from({ length: service.partitions }, (_, other) => other).filter((other) => other !== partition);
    const mover = new SlotMover(led);
    const tellers = [...others, ...peers].map((listener) => new Teller(led, listener));
    this.led.set(term, { background, service, tellers });
    const running = background.run([mover, ...tellers]);
    const subscription = term.events.subscribe();
    try {
      for (;;) {
        for (const { moving, replicated } of await subscription.next()) {
          if (moving) mover.isDue = true;
          if (replicated.length > 0) for (const teller of tellers) teller.hear(replicated);
        }
        background.wake();
      }
    } catch (error) {
      if (!(error instanceof FailureError)) log('a partition of counters can not be followed', { service: service.name, partition, error: String(error) });
    } finally {
      subscription.close();
      background.close();
      await running;
      // Looked at again: where it was only too slow to follow, everything is told anew.
      this.led.delete(term);
    }
  }
}
