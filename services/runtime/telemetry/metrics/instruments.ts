/**
 * Every instrument, in one table: docs/metrics.md and the tests are held to it. gRPC's names are those
 * of gRFC A66, the process's those of the OpenTelemetry semantic conventions.
 *
 * A counter and a histogram are recorded when something happens; a gauge, a watched counter and a watched
 * histogram are read when somebody collects.
 */

export interface Instrument {
  readonly kind: 'counter' | 'watched counter' | 'histogram' | 'watched histogram' | 'gauge';
  /** As UCUM writes it; {braces} name what is counted. */
  readonly unit: string;
  readonly description: string;
  readonly attributes: readonly string[];
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}

/** Seconds. */
export const LATENCY_BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];
const SIZE_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

const counter = (unit: string, description: string, ...attributes: string[]) => ({ kind: 'counter', unit, description, attributes }) as const;
const watchedCounter = (unit: string, description: string, ...attributes: string[]) =>
  ({ kind: 'watched counter', unit, description, attributes }) as const;
const gauge = (unit: string, description: string, ...attributes: string[]) => ({ kind: 'gauge', unit, description, attributes }) as const;
const latency = (description: string, ...attributes: string[]) =>
  ({ kind: 'histogram', unit: 's', description, attributes, buckets: LATENCY_BUCKETS }) as const;
const watchedLatency = (description: string, ...attributes: string[]) =>
  ({ kind: 'watched histogram', unit: 's', description, attributes, buckets: LATENCY_BUCKETS }) as const;
const sizes = (unit: string, description: string, ...attributes: string[]) =>
  ({ kind: 'histogram', unit, description, attributes, buckets: SIZE_BUCKETS }) as const;

export const INSTRUMENTS = {
  'grpc.server.call.started': counter('{call}', 'Calls that were begun, streams too', 'grpc.method'),
  'grpc.server.call.duration': latency('From the beginning of a call to its end', 'grpc.method', 'grpc.status'),
  'grpc.client.attempt.started': counter('{attempt}', 'Calls to other replicas, participants outside of the mesh and other clusters', 'grpc.method', 'grpc.target'),
  'grpc.client.attempt.duration': latency('From the beginning of such a call to its end', 'grpc.method', 'grpc.target', 'grpc.status'),

  'txmesh.request.finished': watchedCounter('{request}', 'Requests that were answered, or that nobody waits for any more: unary calls, and what travels on streams', 'grpc.method', 'grpc.status'),
  'txmesh.stream.request.duration': watchedLatency('From taking a request off its stream to its answer; of pulls, acknowledgements alone', 'grpc.method'),

  'txmesh.transaction.finished': counter('{transaction}', 'Transactions whose outcome is durable', 'txmesh.outcome', 'txmesh.reason'),
  'txmesh.transaction.open': gauge('{transaction}', 'Transactions that are under way at the coordinator partitions led here', 'txmesh.state'),
  'txmesh.transaction.completing.age': gauge('s', 'Age of the oldest commit that a branch has not acknowledged; 0: there is none'),
  'txmesh.transaction.phase.duration': latency(
    'prepare: from the first prepare to the decision; decide: the write of the decision; complete: from the decision to the last acknowledgement',
    'txmesh.phase',
  ),

  'txmesh.branch.prepared': gauge('{branch}', 'Branches that are prepared and wait for their outcome', 'txmesh.participant'),
  'txmesh.branch.in_doubt.age': gauge('s', 'Age of the oldest of them; 0: there is none', 'txmesh.participant'),
  'txmesh.branch.heuristic': counter('{branch}', 'Prepared branches that an operator forced an outcome on', 'txmesh.participant', 'txmesh.outcome'),
  'txmesh.conflict': counter('{conflict}', 'Branches and local transactions that were refused because of locks, preconditions or bounds', 'txmesh.participant', 'txmesh.reason'),
  'txmesh.lock.waiting': gauge('{request}', 'Requests that stand in line for locks', 'txmesh.participant'),
  'txmesh.lock.wait.duration': latency('How long such a request stood in line, in vain or not', 'txmesh.participant'),

  'txmesh.partition.batch.size': sizes('{event}', 'Commands that one batch of a partition has stepped', 'txmesh.service'),
  'txmesh.partition.led': gauge('{partition}', 'Partitions that this replica leads', 'txmesh.service'),
  'txmesh.partition.leaderless': gauge('{partition}', 'Partitions of which this replica knows no leader: all that it does not lead while its lease is over, since it hears of nobody then', 'txmesh.service'),
  'txmesh.partition.leadership.changes': counter('{change}', 'Partitions that this replica began or ceased to lead', 'txmesh.service', 'txmesh.change'),
  'txmesh.store.writes': counter('{write}', 'Writes of batches', 'txmesh.service'),
  'txmesh.store.write.duration': latency('How long such a write took, with what was tried again', 'txmesh.service'),
  'txmesh.store.failures': counter('{failure}', 'Requests to the store that failed, of whatever kind', 'txmesh.reason'),
  'txmesh.store.size': gauge('By', 'Bytes in use in the store'),
  'txmesh.store.limit': gauge('By', 'Bytes that the store may use, where that is limited'),

  'txmesh.queue.published': counter('{message}', 'Messages that were published', 'txmesh.participant', 'txmesh.topic'),
  'txmesh.queue.delivered': counter('{message}', 'Messages that were delivered, again ones too', 'txmesh.participant', 'txmesh.subscription'),
  'txmesh.queue.acknowledged': counter('{message}', 'Messages that were acknowledged, dead letters too', 'txmesh.participant', 'txmesh.subscription'),
  'txmesh.queue.dead_lettered': counter('{message}', 'Messages that went to a dead-letter topic', 'txmesh.participant', 'txmesh.subscription'),
  'txmesh.queue.backlog': gauge('{message}', 'Messages that are not acknowledged', 'txmesh.participant', 'txmesh.subscription'),
  'txmesh.queue.in_flight': gauge('{message}', 'Messages that are delivered and not settled', 'txmesh.participant', 'txmesh.subscription'),
  'txmesh.queue.oldest_unacknowledged.age': gauge('s', 'How long the message has waited that has waited longest: since it was due, and not acknowledged; 0: there is none', 'txmesh.participant', 'txmesh.subscription'),

  'txmesh.counter.added': counter('{add}', 'Adds that were counted, in transactions or not', 'txmesh.participant', 'txmesh.kind'),
  'txmesh.counter.freshness': gauge('s', 'How far behind reads may be: the oldest add that is not rolled up (queued), or not told to other partitions and clusters (replicated)', 'txmesh.participant', 'txmesh.kind'),

  'txmesh.admission.refused': counter('{call}', 'Calls that were refused before any of their work was done', 'txmesh.reason'),
  'txmesh.authorization.decisions': watchedCounter('{decision}', 'What the policy allowed or denied: calls, and requests in streams', 'txmesh.decision'),

  'nodejs.eventloop.delay.mean': gauge('s', 'Mean delay of the event loop since the last collection'),
  'nodejs.eventloop.delay.p99': gauge('s', '99th percentile of that delay'),
  'nodejs.eventloop.delay.max': gauge('s', 'Maximum of that delay'),
  'nodejs.eventloop.utilization': gauge('1', 'Share of the time since the last collection in which the event loop was busy'),
  'v8js.memory.heap.used': gauge('By', 'Heap in use, all spaces together'),
  'v8js.memory.heap.limit': gauge('By', 'Heap that may be used, all spaces together'),
  'v8js.gc.duration': latency('Pauses of garbage collection', 'v8js.gc.type'),
  'process.memory.usage': gauge('By', 'Resident memory'),
  'process.cpu.time': watchedCounter('s', 'CPU time', 'cpu.mode'),
  'process.uptime': gauge('s', 'Time since the process was started'),
} as const satisfies Readonly<Record<string, Instrument>>;

export type InstrumentName = keyof typeof INSTRUMENTS;
type NameOf<Kind extends Instrument['kind']> = {
  [Name in InstrumentName]: (typeof INSTRUMENTS)[Name]['kind'] extends Kind ? Name : never;
}[InstrumentName];

export type CounterName = NameOf<'counter'>;
export type HistogramName = NameOf<'histogram'>;
export type WatchedName = NameOf<'gauge' | 'watched counter'>;
export type WatchedHistogramName = NameOf<'watched histogram'>;
