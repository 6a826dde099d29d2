/** Turns what a term does for sampled commands into spans; see spans.ts. */

import type { BatchReport, TermObserver } from '../partition/term.ts';
import { FAULT_ATTRIBUTE } from '../faults/fault.ts';
import type { ActiveSpan, Spans } from './spans.ts';

export interface ObservedCommand {
  /** "prepare", "commit", … */
  readonly name: string;
  readonly traceparent: string | undefined;
}

/**
 * @param describe what a command is, and the span that caused it; undefined if it is never traced.
 * @param store "lmdb", "etcd", "memory", for the attribute db.system.name.
 */
export function spanObserver<Command>(
  spans: Spans,
  store: string,
  service: string,
  partition: number,
  describe: (command: Command) => ObservedCommand | undefined,
): TermObserver<Command> | undefined {
  if (!spans.enabled) return undefined;
  const attributes = { 'txmesh.service': service, 'txmesh.partition': partition };
  return {
    stepped(command) {
      const observed = describe(command);
      return observed === undefined ? undefined : spans.handle(`${observed.name} ${service}`, observed.traceparent, attributes);
    },
    through(stepped, report: BatchReport | undefined) {
      const waiting = stepped as readonly ActiveSpan[];
      if (waiting.length === 0) return;
      if (report !== undefined)
        spans.wrote(waiting, report.startMs, report.endMs, {
          ...attributes,
          'db.system.name': store,
          'db.operation.name': 'write',
          'db.operation.batch.size': report.operations,
          ...(report.fault !== undefined && { [FAULT_ATTRIBUTE]: report.fault }),
        });
      for (const active of waiting) active.end();
    },
  };
}
