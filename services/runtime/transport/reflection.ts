/**
 * Reflection (v1 and v1alpha) from the descriptors that `buf build` wrote beside the generated code.
 * They are handed on as they are: descriptors that went through proto-loader lose what grpcurl needs
 * to type google.protobuf.Any as JSON.
 */

import { readFileSync } from 'node:fs';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type * as grpc from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HEALTH_DESCRIPTOR } from './health-descriptor.ts';

/** At the same depth in the sources and in dist/. */
const DESCRIPTORS = new URL('../../gen/descriptors.binpb', import.meta.url);

/** @param hiddenFiles names of protos that are not told of, because their services are not served */
export function addReflection(server: Pick<grpc.Server, 'addService'>, hiddenFiles: readonly string[] = []): void {
  const fileDescriptorProtos = [...loadDescriptors().filter((file) => !hiddenFiles.includes(nameOf(file))), HEALTH_DESCRIPTOR];
  // Of a package definition, the reflection service reads nothing but this list.
  const definition = { all: { fileDescriptorProtos } } as unknown as ConstructorParameters<typeof ReflectionService>[0];
  new ReflectionService(definition).addToServer(server);
}

/** The bytes of every google.protobuf.FileDescriptorProto in the set. */
export function loadDescriptors(): Uint8Array[] {
  const reader = new BinaryReader(readDescriptors());
  const files: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1 && wireType === WireType.LengthDelimited) files.push(reader.bytes());
    else reader.skip(wireType);
  }
  return files;
}

/** Field 1 of a FileDescriptorProto, which comes first. */
function nameOf(file: Uint8Array): string {
  const reader = new BinaryReader(file);
  const [field] = reader.tag();
  return field === 1 ? reader.string() : '';
}

function readDescriptors(): Buffer {
  try {
    return readFileSync(DESCRIPTORS);
  } catch (error) {
    throw new Error('the descriptors beside the generated code are missing: run npm run generate', { cause: error });
  }
}
