/** Credentials from PEM files that are renewed while the program runs. */

import type * as grpc from '@grpc/grpc-js';
import { CertificateFiles, type CertificateFilesOptions, type TlsFiles } from '../runtime/transport/certificate-files.ts';
import { channelCredentials, serverCredentials } from '../runtime/transport/credentials.ts';

export interface TlsOptions extends TlsFiles, Pick<CertificateFilesOptions, 'pollMs' | 'log'> {}

/**
 * TLS with what the files say at the time of each connection: they are looked at every `pollMs`, and
 * connections that stand go on. Files that don't fit together are told to `log` and not used.
 *
 * ```ts
 * connect({ addresses, credentials: tlsFromFiles({ caFile: 'ca.crt', certFile: 'tls.crt', keyFile: 'tls.key' }) });
 * ```
 * @throws Error naming a file that can't be used
 */
export function tlsFromFiles(options: TlsOptions): grpc.ChannelCredentials {
  return channelCredentials(new CertificateFiles(options, options));
}

/**
 * As {@link tlsFromFiles}, for `serveParticipant`: with `caFile`, callers must show a certificate
 * that comes from it.
 * @throws Error naming a file that can't be used
 */
export function serverTlsFromFiles(options: TlsOptions & Required<Pick<TlsOptions, 'certFile' | 'keyFile'>>): grpc.ServerCredentials {
  return serverCredentials(new CertificateFiles(options, options));
}
