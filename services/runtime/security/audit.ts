/**
 * Audit events: who asked for what, and what was decided. Never a token, a key, a value or a message.
 * Denials that are the same again are counted for a while, and told as one.
 */

import type { Clock, Timer } from '../clock.ts';
import type { ServerCall } from '../transport/context.ts';
import { TRACEPARENT_HEADER } from '../transport/service.ts';
import type { Resource } from './judge.ts';
import { describe, type Principal } from './principal.ts';

export interface AuditEvent {
  readonly decision: 'allowed' | 'denied';
  readonly caller: Principal | undefined;
  readonly call: ServerCall;
  /** "KeyValueService/Put" */
  readonly method: string;
  readonly resource?: Resource | undefined;
  /** Of the policy, that allowed it. */
  readonly rule?: string;
  /** Of the failure that was answered. */
  readonly reason?: string;
}

/** Denials of one kind are told once in this time. */
const WINDOW_MS = 10_000;
/** Kinds of denials that are told apart in this time; of the rest only the number is told. */
const MOST_KINDS = 1_000;
const MOST_CHARACTERS = 256;
const TRACE_ID = /^[0-9a-f]{2}-([0-9a-f]{32})-/;

export type WriteAudit = (message: string, fields: Record<string, unknown>) => void;

export class Audit {
  private readonly write: WriteAudit;
  private readonly clock: Clock;
  /** The denials of this window after the first, by what makes them the same. */
  private readonly repeated = new Map<string, { fields: Record<string, unknown>; count: number }>();
  private others = 0;
  private timer: Timer | undefined;

  constructor(write: WriteAudit, clock: Clock) {
    this.write = write;
    this.clock = clock;
  }

  record(event: AuditEvent): void {
    if (event.decision === 'allowed') return this.write('audit', fieldsOf(event));
    const key = `${event.caller === undefined ? 'unknown' : describe(event.caller)} ${event.method} ${event.reason ?? ''}`;
    const known = this.repeated.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    this.timer ??= this.clock.setTimer(WINDOW_MS, () => this.flush());
    if (this.repeated.size >= MOST_KINDS) {
      this.others++;
      return;
    }
    const fields = fieldsOf(event);
    this.repeated.set(key, { fields, count: 0 });
    this.write('audit', fields);
  }

  /** Tells what was suppressed. */
  flush(): void {
    this.timer?.cancel();
    this.timer = undefined;
    for (const { fields, count } of this.repeated.values()) {
      if (count === 0) continue;
      const { decision, caller, caller_type: type, method, reason } = fields;
      this.write('audit', { 'event.name': EVENT, decision, caller, caller_type: type, method, reason, suppressed: count });
    }
    if (this.others > 0) this.write('audit', { 'event.name': EVENT, decision: 'denied', suppressed: this.others });
    this.repeated.clear();
    this.others = 0;
  }
}

const EVENT = 'txmesh.audit';

function fieldsOf({ decision, caller, call, method, resource, rule, reason }: AuditEvent): Record<string, unknown> {
  const [traceparent] = call.metadata.get(TRACEPARENT_HEADER);
  const traceId = typeof traceparent === 'string' ? TRACE_ID.exec(traceparent)?.[1] : undefined;
  return {
    'event.name': EVENT,
    decision,
    caller: caller === undefined ? 'unknown' : cut(describe(caller)),
    caller_type: caller?.type ?? 'unknown',
    address: call.getPeer(),
    method,
    ...(resource !== undefined && {
      participant: cut(resource.participant),
      ...(resource.name !== '' && { resource: `${resource.kind}/${cut(resource.name)}` }),
    }),
    ...(rule !== undefined && { rule }),
    ...(reason !== undefined && { reason }),
    ...(traceId !== undefined && { trace_id: traceId }),
  };
}

export function cut(text: string): string {
  return (text.length <= MOST_CHARACTERS ? text : `${text.slice(0, MOST_CHARACTERS - 1)}…`).toWellFormed();
}
