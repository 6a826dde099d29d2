/** Streams of raw frames to one server. */

import * as grpc from '@grpc/grpc-js';

const raw = (bytes: Buffer): Buffer => bytes;
/** What may be on its way to the client at a time; by default HTTP/2 allows 64 KiB, which a batch exceeds. */
const FLOW_CONTROL_BYTES = 4 * 1024 * 1024;
const MAX_FRAME_BYTES = 16 * 1024 * 1024;

export type RawStream = grpc.ClientDuplexStream<Buffer, Buffer>;

export function openClient<Client extends grpc.Client>(
  constructor: new (address: string, credentials: grpc.ChannelCredentials, options: grpc.ChannelOptions) => Client,
  address: string,
): Client {
  return new constructor(address, grpc.credentials.createInsecure(), {
    'grpc-node.flow_control_window': FLOW_CONTROL_BYTES,
    'grpc.max_receive_message_length': MAX_FRAME_BYTES,
  });
}

/** @param onEnd is called once, with what ended the stream, unless {@link closeStream} did. */
export function openStream(client: grpc.Client, path: string, onFrame: (frame: Buffer) => void, onEnd: (error: Error) => void): RawStream {
  const stream = client.makeBidiStreamRequest(path, raw, raw);
  stream.on('data', onFrame);
  stream.on('error', onEnd);
  stream.on('end', () => onEnd(new Error(`the server ended ${path}`)));
  return stream;
}

export function closeStream(stream: RawStream): void {
  stream.removeAllListeners().on('error', () => undefined);
  stream.cancel();
}

/** A unary call of a generated client as a promise. */
export function call<Request, Response>(
  method: (request: Request, callback: (error: grpc.ServiceError | null, response: Response) => void) => unknown,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => method(request, (error, response) => (error === null ? resolve(response) : reject(error))));
}
