/** The coordinator as a service that a replica hosts: for each partition that it leads, a term. */

import { CoordinatorKernel } from '../../kernel/coordinator/kernel.ts';
import type { Command, Message, Reply, Stored, TransactionEvent } from '../../kernel/coordinator/types.ts';
import { partitionPrefix } from '../../runtime/cluster/keys.ts';
import type { Hosted } from '../../runtime/cluster/replica.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import type { Requester, TermObserver, TermOptions } from '../../runtime/partition/term.ts';
import { Events } from '../../runtime/router/events.ts';
import { ServingTerm } from '../../runtime/router/serving-term.ts';
import type { ObservedCommand } from '../../runtime/telemetry/observer.ts';
import type { Metrics } from '../../runtime/telemetry/metrics/metrics.ts';
import { coordinatorCodec } from '../codec.ts';
import { CoordinatorMeter } from './meter.ts';

export type CoordinatorServingTerm = ServingTerm<Command, Stored, Reply, Message, TransactionEvent>;

export interface CoordinatorHostOptions
  extends Pick<TermOptions<Command, Stored, Reply, Message>, 'store' | 'clock' | 'entropy' | 'send' | 'queueLimit'> {
  readonly service: Service;
  /** How long outcomes are kept, milliseconds. */
  readonly retentionMs: number;
  /** What is numbered has numbers above it (invariant P10). */
  readonly numbersAbove: number;
  /** Absent: nobody counts. */
  readonly metrics?: Metrics | undefined;
  observer(partition: number, describe: (command: Command) => ObservedCommand | undefined): TermObserver<Command> | undefined;
}

export function hostCoordinator(options: CoordinatorHostOptions): Hosted<CoordinatorServingTerm> {
  const { service, retentionMs, numbersAbove, store, clock, entropy, send, queueLimit, metrics } = options;
  const meter = metrics && new CoordinatorMeter(metrics, service.name, clock);
  return {
    service,
    createTerm(partition, tenure, onEnd) {
      const counted = meter?.term();
      const kernel = new CoordinatorKernel({ partition, retentionMs, numbersAbove, tally: counted?.tally });
      counted?.watch(kernel);
      const events = new Events<TransactionEvent>((watched) => (kernel.watched = watched));
      const keyPrefix = partitionPrefix(service.name, partition);
      const observer = options.observer(partition, (command) => describeCommand(command, kernel));
      return new ServingTerm(
        {
          service: service.name,
          partition,
          store,
          clock,
          kernel,
          codec: coordinatorCodec,
          keyPrefix,
          tenure,
          entropy,
          send,
          onEnd,
          queueLimit,
          observer,
          meter: counted?.counts,
        },
        events,
      );
    },
  };
}

/** What is traced: a transaction's commands, and the votes, one of which is waited for by its decision's write. */
function describeCommand(command: Command, kernel: CoordinatorKernel): ObservedCommand | undefined {
  switch (command.type) {
    case 'execute':
    case 'begin':
    case 'commit':
      return { name: command.type, traceparent: command.trace };
    case 'abort':
      return { name: 'abort', traceparent: (command.origin as Requester<Reply> | undefined)?.caller?.traceparent };
    case 'message':
      if (command.message.type !== 'vote') return undefined;
      return { name: 'vote', traceparent: kernel.traceOf(command.message.branch.transactionId) };
    default:
      return undefined;
  }
}
