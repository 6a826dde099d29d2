/** One transaction over three participants, and the whole of its trace, as Jaeger tells it. */

import { randomBytes } from 'node:crypto';
import { until } from '../integration/support/until.ts';
import { operationOf, type Grpcurl } from './grpcurl.ts';
import { forwardPort } from './kubectl.ts';

const EXECUTE = 'txmesh.coordinator.v1.CoordinatorService/Execute';
/** Spans leave the servers in batches, and wait for a while in the collector. */
const ARRIVES_WITHIN_MS = 60_000;
const POLL_MS = 500;
const ANSWER_BOUND_MS = 10_000;
/** What must be there: for every participant its two phases; for the coordinator the call, the decision and its write. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  'txmesh-coordinator': [EXECUTE, 'execute coordinator', 'vote coordinator', 'write batch'],
  'txmesh-participant': ['prepare payments', 'commit payments'],
  'txmesh-queue': ['prepare queue', 'commit queue'],
  'txmesh-counter': ['prepare counter', 'commit counter'],
};

interface Span {
  readonly spanID: string;
  readonly operationName: string;
  readonly processID: string;
  /** To its parent, and to what it is linked with. */
  readonly references: readonly { readonly spanID: string }[];
}

interface Traces {
  readonly data: readonly { readonly spans: readonly Span[]; readonly processes: Readonly<Record<string, { readonly serviceName: string }>> }[] | null;
}

/** @returns what was found, in words. @throws with what is missing, where the trace is not whole in time */
export async function findWholeTrace(grpcurl: Grpcurl): Promise<string> {
  const traceId = randomBytes(16).toString('hex');
  const callerId = randomBytes(8).toString('hex');
  await execute(grpcurl, `00-${traceId}-${callerId}-01`);
  const forward = await forwardPort('service/jaeger', 16686);
  try {
    let spans: readonly (Span & { service: string })[] = [];
    const missing = (): string[] => missingOf(spans, callerId);
    await until(
      `Jaeger has the whole of trace ${traceId}`,
      ARRIVES_WITHIN_MS,
      async () => {
        spans = await spansOf(forward.address, traceId);
        return missing().length === 0;
      },
      () => `${missing().join(', ')}; there are ${spans.map(({ service, operationName }) => `${service}: ${operationName}`).join(', ') || 'no spans'}`,
      POLL_MS,
    );
    return `${spans.length} spans of ${new Set(spans.map(({ service }) => service)).size} services, one tree below the call`;
  } finally {
    forward.close();
  }
}

async function execute(grpcurl: Grpcurl, traceparent: string): Promise<void> {
  await grpcurl.call('txmesh.queue.v1.QueueService/CreateTopic', { topic: { name: 'traced' } });
  await grpcurl.call('txmesh.counter.v1.CounterService/CreateCounter', { counter: 'traced', kind: 'KIND_STRONG' });
  const data = Buffer.from('traced').toString('base64');
  const operations = [
    operationOf('payments', 'traced', 'keyvalue.v1.PutOperation', { collection: 'traced', key: 'traced', value: data }),
    operationOf('queue', 'traced', 'queue.v1.PublishOperation', { topic: 'traced', message: { data, orderingKey: 'traced' } }),
    operationOf('counter', 'traced', 'counter.v1.AddOperation', { counter: 'traced', amount: '1' }),
  ];
  await grpcurl.execute(operations, { traceparent });
}

async function spansOf(address: string, traceId: string): Promise<(Span & { service: string })[]> {
  const response = await fetch(`http://${address}/api/traces/${traceId}`, { signal: AbortSignal.timeout(ANSWER_BOUND_MS) });
  // Jaeger answers so as long as it knows nothing of the trace.
  if (response.status === 404) return [];
  if (!response.ok) throw new Error(`Jaeger answered ${response.status}: ${await response.text()}`);
  const { data } = (await response.json()) as Traces;
  return (data ?? []).flatMap(({ spans, processes }) => spans.map((span) => ({ ...span, service: processes[span.processID]!.serviceName })));
}

/** Spans that must be there, and spans whose parent is not. */
function missingOf(spans: readonly (Span & { service: string })[], callerId: string): string[] {
  const ids = new Set([callerId, ...spans.map(({ spanID }) => spanID)]);
  const absent = Object.entries(EXPECTED).flatMap(([service, names]) =>
    names.filter((name) => !spans.some((span) => span.service === service && span.operationName === name)).map((name) => `no ${name} of ${service}`),
  );
  // A parent that is linked, too, as that of a write is, is told as a link alone.
  const orphans = spans.filter(({ references }) => !references.some(({ spanID }) => ids.has(spanID))).map(({ operationName }) => `the parent of ${operationName}`);
  return [...absent, ...orphans];
}
