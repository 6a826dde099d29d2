/** TLS from files in PEM that may change; see certificate-files.ts. */

import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import type { CertificateFiles } from './certificate-files.ts';

/** Where there is an authority, callers are asked for a certificate from it. */
export function serverCredentials(certificates: CertificateFiles): grpc.ServerCredentials {
  const { caFile } = certificates.files;
  // The arguments are (identity, authority), whatever grpc-js 1.14 calls them in its types.
  return grpc.experimental.createCertificateProviderServerCredentials(certificates, caFile === undefined ? null : certificates, caFile !== undefined);
}

export function channelCredentials(certificates: CertificateFiles): grpc.ChannelCredentials {
  const identity = certificates.files.certFile === undefined ? null : certificates;
  return grpc.experimental.createCertificateProviderChannelCredentials(certificates, identity, { checkServerIdentity: checkIdentity });
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
