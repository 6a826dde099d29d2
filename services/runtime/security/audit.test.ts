import * as grpc from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import type { Clock } from '../clock.ts';
import type { ServerCall } from '../transport/context.ts';
import { Audit } from './audit.ts';
import type { Principal } from './principal.ts';

function callWith(headers: Record<string, string>): ServerCall {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return { metadata, cancelled: false, getDeadline: () => Infinity, getPeer: () => '10.0.0.7:4711', once: () => undefined };
}

function audited() {
  const events: Record<string, unknown>[] = [];
  const timers: (() => void)[] = [];
  const clock: Clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    setTimer: (_, call) => {
      timers.push(call);
      return { cancel: () => undefined };
    },
  };
  return { events, timers, audit: new Audit((_, fields) => void events.push(fields), clock) };
}

const shop: Principal = { type: 'certificate', uri: 'spiffe://txmesh/client/shop' };
const resource = { kind: 'collections', participant: 'inventory', name: 'stock' } as const;
const denied = { decision: 'denied', caller: shop, method: 'KeyValueService/Put', reason: 'PERMISSION_DENIED' } as const;

describe('an audit event', () => {
  test('says who asked for what, what was decided, and in which trace', () => {
    const { events, audit } = audited();
    audit.record({ ...denied, resource, call: callWith({ traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', authorization: 'Bearer secret' }) });
    expect(events).toEqual([
      {
        'event.name': 'txmesh.audit',
        decision: 'denied',
        caller: 'spiffe://txmesh/client/shop',
        caller_type: 'certificate',
        address: '10.0.0.7:4711',
        method: 'KeyValueService/Put',
        participant: 'inventory',
        resource: 'collections/stock',
        reason: 'PERMISSION_DENIED',
        trace_id: '0af7651916cd43dd8448eb211c80319c',
      },
    ]);
  });

  test('is told once for denials that are the same, and their number after', () => {
    const { events, timers, audit } = audited();
    for (let i = 0; i < 100; i++) audit.record({ ...denied, resource: { ...resource, name: `stock ${i}` }, call: callWith({}) });
    expect(events).toHaveLength(1);
    timers[0]!();
    expect(events).toHaveLength(2);
    expect(events[1]).toMatchObject({ decision: 'denied', caller: 'spiffe://txmesh/client/shop', method: 'KeyValueService/Put', suppressed: 99 });
    audit.record({ ...denied, call: callWith({}) });
    expect(events).toHaveLength(3);
  });

  test('is told for a bounded number of kinds, and of the rest how many there were', () => {
    const { events, timers, audit } = audited();
    for (let i = 0; i < 1_500; i++) audit.record({ ...denied, caller: { type: 'certificate', uri: `spiffe://txmesh/client/${i}` }, call: callWith({}) });
    expect(events).toHaveLength(1_000);
    timers[0]!();
    expect(events.at(-1)).toMatchObject({ decision: 'denied', suppressed: 500 });
  });

  test('is told for every administration that is allowed', () => {
    const { events, audit } = audited();
    for (let i = 0; i < 3; i++) audit.record({ decision: 'allowed', caller: shop, method: 'QueueService/PurgeTopic', rule: 'operators', call: callWith({}) });
    expect(events).toHaveLength(3);
    expect(events[0]).toMatchObject({ decision: 'allowed', rule: 'operators' });
  });
});
