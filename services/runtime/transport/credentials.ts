/** TLS from files in PEM. */

import { readFileSync } from 'node:fs';
import * as grpc from '@grpc/grpc-js';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities that the other end's certificate must come from. On a server it asks clients for one. */
  readonly caFile?: string;
}

/** @throws Error naming the file that can't be read. */
export function serverCredentials(files: TlsFiles | undefined): grpc.ServerCredentials {
  if (files === undefined) return grpc.ServerCredentials.createInsecure();
  const ca = files.caFile === undefined ? null : read(files.caFile);
  const pair = { cert_chain: read(files.certFile), private_key: read(files.keyFile) };
  return grpc.ServerCredentials.createSsl(ca, [pair], ca !== null);
}

/** @throws Error naming the file that can't be read. */
export function channelCredentials(files: Partial<TlsFiles> | undefined): grpc.ChannelCredentials {
  if (files === undefined) return grpc.credentials.createInsecure();
  const { caFile, keyFile, certFile } = files;
  return grpc.credentials.createSsl(
    caFile === undefined ? null : read(caFile),
    keyFile === undefined ? null : read(keyFile),
    certFile === undefined ? null : read(certFile),
  );
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Error(`the TLS file ${file} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
