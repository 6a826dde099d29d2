/** An OpenTelemetry collector that keeps the metrics it is sent, as bytes. */

import * as grpc from '@grpc/grpc-js';

const EXPORT = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export';
const bytes = (message: Buffer): Buffer => message;
const SERVICE = {
  export: {
    path: EXPORT,
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  },
} satisfies grpc.ServiceDefinition;

export class Collector {
  /** ExportMetricsServiceRequests. */
  readonly requests: Buffer[] = [];
  address = '';
  private readonly server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });

  static async start(): Promise<Collector> {
    const collector = new Collector();
    collector.server.addService(SERVICE, {
      export: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
        collector.requests.push(call.request);
        callback(null, Buffer.alloc(0));
      },
    });
    const port = await new Promise<number>((resolve, reject) =>
      collector.server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error))),
    );
    collector.address = `127.0.0.1:${port}`;
    return collector;
  }

  stop(): void {
    this.server.forceShutdown();
  }
}
