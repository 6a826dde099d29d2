/** TLS from files in PEM. */

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
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
    { checkServerIdentity: checkIdentity },
  );
}

const NAMED_ADDRESS = /^ip([46])-(.+)-x\.invalid$/;

/**
 * For the channel option grpc.ssl_target_name_override: TLS has no IP addresses as server names, Node 26
 * refuses them, and grpc-js sends them. Instead a name is sent that stands for the address, and
 * {@link channelCredentials} ask the certificate for the address. Undefined: the host is a name.
 * @param address host:port
 */
export function nameOfAddress(address: string): string | undefined {
  const host = address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  const version = isIP(host);
  return version === 0 ? undefined : `ip${version}-${host.replaceAll(/[.:]/g, '-')}-x.invalid`;
}

function checkIdentity(name: string, certificate: PeerCertificate): Error | undefined {
  const [, version, digits] = NAMED_ADDRESS.exec(name) ?? [];
  return checkServerIdentity(digits === undefined ? name : digits.replaceAll('-', version === '4' ? '.' : ':'), certificate);
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Error(`the TLS file ${file} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
