/** Every method of every service, from the descriptors beside the generated code and from the standard services. */

import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import * as grpc from '@grpc/grpc-js';
import { loadDescriptors } from '../../../services/runtime/transport/reflection.ts';
import { HEALTH_DESCRIPTOR } from '../../../services/runtime/transport/health-descriptor.ts';

export interface DescribedMethod {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

export function everyMethod(): DescribedMethod[] {
  const described = [...loadDescriptors(), HEALTH_DESCRIPTOR].flatMap(methodsOf).filter(({ path }) => !path.startsWith('/google.'));
  const reflection = ['v1', 'v1alpha'].map((version) => ({
    path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    requestStream: true,
    responseStream: true,
  }));
  return [...described, ...reflection];
}

type Fields = Map<number, (Uint8Array | number)[]>;

/** google.protobuf.FileDescriptorProto: package is 2, service 6; there name is 1, method 2; there 1, 5 and 6. */
function methodsOf(file: Uint8Array): DescribedMethod[] {
  const root = fieldsOf(file);
  const name = (fields: Fields, number = 1): string => Buffer.from(fields.get(number)?.[0] as Uint8Array).toString();
  return (root.get(6) ?? []).flatMap((service) => {
    const fields = fieldsOf(service as Uint8Array);
    return (fields.get(2) ?? []).map((method) => {
      const parts = fieldsOf(method as Uint8Array);
      return {
        path: `/${name(root, 2)}.${name(fields)}/${name(parts)}`,
        requestStream: parts.get(5)?.[0] === 1,
        responseStream: parts.get(6)?.[0] === 1,
      };
    });
  });
}

function fieldsOf(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields: Fields = new Map();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type !== WireType.LengthDelimited && type !== WireType.Varint) {
      reader.skip(type);
      continue;
    }
    const value = type === WireType.Varint ? reader.uint32() : reader.bytes();
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

const asIs = (bytes: Buffer): Buffer => bytes;

/**
 * Calls with an empty request, and tells the status; "open" for a stream that is not ended when `settled` says
 * that it was decided about.
 */
export function callEmpty(client: grpc.Client, method: DescribedMethod, metadata: grpc.Metadata, settled: () => boolean): Promise<string> {
  const { path, requestStream, responseStream } = method;
  return new Promise((resolve) => {
    const deadline = { deadline: Date.now() + 20_000 };
    const empty = Buffer.alloc(0);
    if (!responseStream) {
      client.makeUnaryRequest(path, asIs, asIs, empty, metadata, deadline, (error) => resolve(error === null ? 'OK' : grpc.status[error.code]!));
      return;
    }
    const duplex = requestStream ? client.makeBidiStreamRequest<Buffer, Buffer>(path, asIs, asIs, metadata, deadline) : undefined;
    const call = duplex ?? client.makeServerStreamRequest<Buffer, Buffer>(path, asIs, asIs, empty, metadata, deadline);
    const poll = setInterval(() => {
      if (!settled()) return;
      resolve('open');
      call.cancel();
    }, 10);
    call.on('data', () => undefined);
    call.on('error', () => undefined);
    call.on('status', ({ code }: grpc.StatusObject) => {
      clearInterval(poll);
      resolve(grpc.status[code]!);
    });
    duplex?.write(empty);
  });
}
