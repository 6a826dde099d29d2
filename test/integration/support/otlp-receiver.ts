/** Takes traces, metrics and logs as OTLP over HTTP in JSON, from any number of processes. */

import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Certificates } from './certificates.ts';
import { until } from './until.ts';

const ARRIVES_WITHIN_MS = 10_000;

export interface ReceivedSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** '' for a root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: 'INTERNAL' | 'SERVER' | 'CLIENT' | 'PRODUCER' | 'CONSUMER' | undefined;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** Ids of spans. */
  readonly links: readonly string[];
}

export interface ReceivedLog {
  readonly service: string;
  readonly severity: string;
  readonly body: string;
  /** '' where none was active. */
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Readonly<Record<string, string | number>>;
}

interface WireValue {
  readonly stringValue?: string;
  readonly intValue?: string | number;
}
interface WireAttribute {
  readonly key: string;
  readonly value: WireValue;
}
interface WireSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes?: readonly WireAttribute[];
  readonly links?: readonly { readonly spanId: string }[];
}
interface WireRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly WireAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

interface WireLogs {
  readonly resourceLogs: readonly {
    readonly resource: { readonly attributes: readonly WireAttribute[] };
    readonly scopeLogs: readonly {
      readonly logRecords: readonly {
        readonly severityText: string;
        readonly body: WireValue;
        readonly traceId?: string;
        readonly spanId?: string;
        readonly attributes?: readonly WireAttribute[];
      }[];
    }[];
  }[];
}
interface WireMetrics {
  readonly resourceMetrics: readonly { readonly scopeMetrics: readonly { readonly metrics: readonly { readonly name: string }[] }[] }[];
}

const KINDS = [undefined, 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'] as const;

export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  readonly logs: ReceivedLog[] = [];
  /** Names of metrics. */
  readonly metrics = new Set<string>();
  /** All that came, as it came. */
  readonly bodies: string[] = [];
  requests = 0;
  private readonly server: Server;
  private readonly scheme: 'http' | 'https';

  private constructor(tls: Certificates | undefined) {
    this.scheme = tls === undefined ? 'http' : 'https';
    const take: RequestListener = (request, response) => {
      this.requests++;
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        this.bodies.push(body);
        if (request.url === '/v1/traces') this.take(JSON.parse(body) as WireRequest);
        if (request.url === '/v1/logs') this.takeLogs(JSON.parse(body) as WireLogs);
        if (request.url === '/v1/metrics') this.takeMetrics(JSON.parse(body) as WireMetrics);
        response.setHeader('content-type', 'application/json').end('{}');
      });
    };
    const read = (file: string): Buffer => readFileSync(file);
    this.server = tls === undefined ? createServer(take) : createTlsServer({ ca: read(tls.ca), cert: read(tls.cert), key: read(tls.key), requestCert: true }, take);
  }

  /** @param tls with TLS, for who shows a certificate of the same authority */
  static async start(tls?: Certificates): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver(tls);
    receiver.server.listen(0, '127.0.0.1');
    await once(receiver.server, 'listening');
    onTestFinished(() => {
      receiver.server.closeAllConnections();
      receiver.server.close();
    });
    return receiver;
  }

  /** What makes a process send its traces here. */
  environment(service: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: `${this.scheme}://127.0.0.1:${(this.server.address() as AddressInfo).port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_SERVICE_NAME: service,
      OTEL_BSP_SCHEDULE_DELAY: '100',
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_LOGS_EXPORTER: 'none',
      ...more,
    };
  }

  of(traceId: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  /** The one span of this service whose name begins so, once it is here. */
  async span(traceId: string, service: string, name: string): Promise<ReceivedSpan> {
    const found = (): ReceivedSpan | undefined => this.of(traceId).find((span) => span.service === service && span.name.startsWith(name));
    return until(`${service} sends a span "${name}"`, ARRIVES_WITHIN_MS, found, () => `There are\n${this.show(traceId)}`);
  }

  show(traceId: string): string {
    return this.of(traceId)
      .map(({ service, name, kind, spanId, parentSpanId, links }) => `${spanId} < ${parentSpanId || 'nothing'} ${service}: ${name} (${kind}) links ${links.join(' ')}`)
      .join('\n');
  }

  private takeLogs({ resourceLogs }: WireLogs): void {
    for (const { resource, scopeLogs } of resourceLogs) {
      const service = String(attributesOf(resource.attributes)['service.name']);
      for (const { logRecords } of scopeLogs)
        for (const { severityText, body, traceId = '', spanId = '', attributes = [] } of logRecords)
          this.logs.push({ service, severity: severityText, body: body.stringValue ?? '', traceId, spanId, attributes: attributesOf(attributes) });
    }
  }

  private takeMetrics({ resourceMetrics }: WireMetrics): void {
    for (const { scopeMetrics } of resourceMetrics) for (const { metrics } of scopeMetrics) for (const { name } of metrics) this.metrics.add(name);
  }

  private take({ resourceSpans }: WireRequest): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = String(attributesOf(resource.attributes)['service.name']);
      for (const { spans } of scopeSpans)
        for (const { traceId, spanId, parentSpanId = '', name, kind, attributes = [], links = [] } of spans)
          this.spans.push({ service, traceId, spanId, parentSpanId, name, kind: KINDS[kind], attributes: attributesOf(attributes), links: links.map((link) => link.spanId) });
    }
  }
}

function attributesOf(attributes: readonly WireAttribute[]): Record<string, string | number> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]));
}
