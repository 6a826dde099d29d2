import { NodeSDK, type NodeSDKConfiguration } from '@opentelemetry/sdk-node';

type Processor = NonNullable<NodeSDKConfiguration['spanProcessors']>[number];
type Finished = Parameters<Processor['onEnd']>[0];

/** Records every span of this process until it is stopped; once in a process. */
export function recordSpans(): { readonly spans: Finished[]; stop(): Promise<void> } {
  const spans: Finished[] = [];
  const nothing = (): Promise<void> => Promise.resolve();
  const recorder: Processor = { onStart: () => undefined, onEnd: (span) => void spans.push(span), forceFlush: nothing, shutdown: nothing };
  process.env['OTEL_METRICS_EXPORTER'] = process.env['OTEL_LOGS_EXPORTER'] = 'none';
  const sdk = new NodeSDK({ spanProcessors: [recorder], instrumentations: [], autoDetectResources: false });
  sdk.start();
  return { spans, stop: () => sdk.shutdown() };
}
