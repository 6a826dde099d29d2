/** The page that Prometheus scrapes: plain HTTP, one path. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { explainListen, ListenError } from '../../transport/listen-error.ts';

export const METRICS_PATH = '/metrics';

export class MetricsEndpoint {
  private readonly server: Server;

  constructor(exporter: PrometheusExporter) {
    this.server = createServer((request, response) => {
      const found = request.url?.split('?', 1)[0] === METRICS_PATH;
      if (found && request.method === 'GET') return exporter.getMetricsRequestHandler(request, response);
      response.writeHead(found ? 405 : 404, { 'content-type': 'text/plain' });
      response.end(found ? 'only GET is served here\n' : `metrics are at ${METRICS_PATH}\n`);
    });
    // Waiting for scrapes does not keep a process alive.
    this.server.unref();
  }

  /**
   * Resolves with the port, which matters where 0 was asked for.
   * @throws ListenError
   */
  listen(host: string, port: number): Promise<number> {
    const { server } = this;
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(new ListenError(explainListen(host, port, error.message, '--metrics-port'), { cause: error }));
      server.once('error', fail);
      server.listen({ host, port }, () => {
        server.off('error', fail);
        resolve((server.address() as AddressInfo).port);
      });
    });
  }

  /** Finishes the scrapes that are under way. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.server.listening) return resolve();
      this.server.close(() => resolve());
      this.server.closeIdleConnections();
    });
  }
}
