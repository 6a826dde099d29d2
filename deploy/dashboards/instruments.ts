/**
 * What the servers measure, as the dashboards and the alert rules may name it, and what of it Prometheus
 * sees: dots become underscores, and counters end in `_total`. Units are UCUM and no part of a name.
 */

export type Kind = 'counter' | 'gauge' | 'histogram';

export interface Instrument {
  readonly name: string;
  readonly unit: string;
  readonly kind: Kind;
  readonly attributes: readonly string[];
}

const instrument = (kind: Kind) => (name: string, unit: string, ...attributes: string[]): Instrument => ({ name, unit, kind, attributes });
const counter = instrument('counter');
const gauge = instrument('gauge');
const histogram = instrument('histogram');

export const INSTRUMENTS: readonly Instrument[] = [
  // Calls, named as gRFC A66 names them.
  counter('grpc.server.call.started', '{call}', 'grpc.method'),
  histogram('grpc.server.call.duration', 's', 'grpc.method', 'grpc.status'),
  counter('grpc.client.attempt.started', '{attempt}', 'grpc.method', 'grpc.target'),
  histogram('grpc.client.attempt.duration', 's', 'grpc.method', 'grpc.target', 'grpc.status'),

  counter('txmesh.transaction.finished', '{transaction}', 'txmesh.outcome', 'txmesh.reason'),
  gauge('txmesh.transaction.open', '{transaction}', 'txmesh.state'),
  gauge('txmesh.transaction.completing.age', 's'),
  histogram('txmesh.transaction.phase.duration', 's', 'txmesh.phase'),

  gauge('txmesh.branch.prepared', '{branch}', 'txmesh.participant'),
  gauge('txmesh.branch.in_doubt.age', 's', 'txmesh.participant'),
  counter('txmesh.branch.heuristic', '{branch}', 'txmesh.participant', 'txmesh.outcome'),
  counter('txmesh.conflict', '{conflict}', 'txmesh.participant', 'txmesh.reason'),
  gauge('txmesh.lock.waiting', '{request}', 'txmesh.participant'),
  histogram('txmesh.lock.wait.duration', 's', 'txmesh.participant'),

  histogram('txmesh.partition.batch.size', '{event}', 'txmesh.service'),
  gauge('txmesh.partition.led', '{partition}', 'txmesh.service'),
  gauge('txmesh.partition.leaderless', '{partition}', 'txmesh.service'),
  counter('txmesh.partition.leadership.changes', '{change}', 'txmesh.service', 'txmesh.change'),
  histogram('txmesh.store.write.duration', 's', 'txmesh.service'),
  counter('txmesh.store.writes', '{write}', 'txmesh.service'),
  counter('txmesh.store.failures', '{failure}', 'txmesh.reason'),
  gauge('txmesh.store.size', 'By'),
  gauge('txmesh.store.limit', 'By'),

  counter('txmesh.queue.published', '{message}', 'txmesh.participant', 'txmesh.topic'),
  counter('txmesh.queue.delivered', '{message}', 'txmesh.participant', 'txmesh.subscription'),
  counter('txmesh.queue.acknowledged', '{message}', 'txmesh.participant', 'txmesh.subscription'),
  counter('txmesh.queue.dead_lettered', '{message}', 'txmesh.participant', 'txmesh.subscription'),
  gauge('txmesh.queue.backlog', '{message}', 'txmesh.participant', 'txmesh.subscription'),
  gauge('txmesh.queue.in_flight', '{message}', 'txmesh.participant', 'txmesh.subscription'),
  gauge('txmesh.queue.oldest_unacknowledged.age', 's', 'txmesh.participant', 'txmesh.subscription'),

  counter('txmesh.counter.added', '{add}', 'txmesh.participant', 'txmesh.kind'),
  gauge('txmesh.counter.freshness', 's', 'txmesh.participant', 'txmesh.kind'),

  counter('txmesh.admission.refused', '{call}', 'txmesh.reason'),
  counter('txmesh.authorization.decisions', '{decision}', 'txmesh.decision'),

  // The process, named as OpenTelemetry's semantic conventions name it.
  gauge('nodejs.eventloop.delay.p99', 's'),
  gauge('nodejs.eventloop.delay.mean', 's'),
  gauge('nodejs.eventloop.delay.max', 's'),
  gauge('nodejs.eventloop.utilization', '1'),
  gauge('v8js.memory.heap.used', 'By', 'v8js.heap.space.name'),
  gauge('v8js.memory.heap.limit', 'By', 'v8js.heap.space.name'),
  histogram('v8js.gc.duration', 's', 'v8js.gc.type'),
  gauge('process.memory.usage', 'By'),
  counter('process.cpu.time', 's', 'cpu.mode'),
  gauge('process.uptime', 's'),
];

/** The name that Prometheus knows an instrument's series by, without what a histogram appends to it. */
export const prometheusName = ({ name, kind }: Instrument): string => `${prometheusLabel(name)}${kind === 'counter' ? '_total' : ''}`;

export const prometheusLabel = (attribute: string): string => attribute.replaceAll('.', '_');
