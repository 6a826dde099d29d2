/**
 * What a partition does of itself while it is led here: it moves slots to where they belong, and tells
 * the service's other partitions, and other clusters, what it has of replicated counters. All of it can
 * be repeated, so whatever fails is tried again, with a growing delay.
 */

import * as grpc from '@grpc/grpc-js';
import { backoffMs } from '../../kernel/timers.ts';
import { delay } from '../../runtime/clock.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import type { PartitionPort } from './partition-port.ts';
import type { CounterServices, CounterTerm } from './service.ts';

/** A partition that is led here, and how to reach the others. */
export interface Led {
  readonly services: CounterServices;
  readonly port: PartitionPort;
  readonly service: Service;
  readonly partition: number;
  readonly term: CounterTerm;
}

export interface Task {
  /** For logs. */
  readonly name: string;
  readonly isDue: boolean;
  /** Does all that is due. What fails is due again. */
  run(context: () => CallContext): Promise<void>;
}

/** Bound of one request. */
const CALL_MS = 10_000;
const BACKOFF = { baseMs: 100, capMs: 10_000 } as const;
/** A task that fails so often in a row is logged, and again after as many failures more. */
const LOGGED_FAILURES = 10;

export class Background {
  private readonly led: Led;
  private readonly controller = new AbortController();
  private readonly log: (message: string, fields: Record<string, unknown>) => void;
  private wakers: (() => void)[] = [];

  constructor(led: Led, log: (message: string, fields: Record<string, unknown>) => void) {
    this.led = led;
    this.log = log;
  }

  /** Runs tasks whenever they are due, until {@link close}. */
  async run(tasks: readonly Task[]): Promise<void> {
    await Promise.all(tasks.map((task) => this.repeat(task)));
  }

  /** Something has happened: tasks that wait look whether they are due. */
  wake(): void {
    for (const wake of this.wakers.splice(0)) wake();
  }

  close(): void {
    this.controller.abort();
    this.wake();
  }

  private async repeat(task: Task): Promise<void> {
    const { services, service, partition } = this.led;
    const { signal } = this.controller;
    let failures = 0;
    while (!signal.aborted) {
      if (!task.isDue) {
        await new Promise<void>((resolve) => this.wakers.push(resolve));
        continue;
      }
      try {
        await task.run(() => this.context);
        failures = 0;
      } catch (error) {
        // What is no refusal is a defect: it is logged at once, and tried again all the same.
        if (++failures % LOGGED_FAILURES === 0 || !(error instanceof FailureError))
          this.log(`${task.name} failed`, { service: service.name, partition, failures, error: String(error) });
        await delay(services.clock, BACKOFF.baseMs + backoffMs(BACKOFF, failures, Math.random()));
      }
    }
  }

  private get context(): CallContext {
    const { clock } = this.led.services;
    const { signal } = this.controller;
    return { signal, deadlineMs: clock.nowMs() + CALL_MS, traceparent: undefined, forwarded: false, peer: 'this replica', metadata: new grpc.Metadata() };
  }
}
