/**
 * Credentials of a server that asks callers for a certificate and takes those without one too: they have to
 * show a token. A certificate that the authority does not vouch for counts as none (see certificate.ts):
 * grpc-js tells of a certificate only where TLS has found it right.
 */

import * as grpc from '@grpc/grpc-js';

class OptionalCertificates extends grpc.ServerCredentials {
  private readonly credentials: grpc.ServerCredentials;

  constructor(credentials: grpc.ServerCredentials) {
    super({});
    this.credentials = credentials;
  }

  override _getConstructorOptions(): ReturnType<grpc.ServerCredentials['_getConstructorOptions']> {
    return { ...this.credentials._getConstructorOptions(), rejectUnauthorized: false };
  }

  // All else is the others' matter: they exchange their certificates while the server runs.

  override _isSecure(): boolean {
    return this.credentials._isSecure();
  }

  override _getSecureContextOptions(): ReturnType<grpc.ServerCredentials['_getSecureContextOptions']> {
    return this.credentials._getSecureContextOptions();
  }

  override _getInterceptors(): ReturnType<grpc.ServerCredentials['_getInterceptors']> {
    return this.credentials._getInterceptors();
  }

  override _addWatcher(watcher: Parameters<grpc.ServerCredentials['_addWatcher']>[0]): void {
    this.credentials._addWatcher(watcher);
  }

  override _removeWatcher(watcher: Parameters<grpc.ServerCredentials['_removeWatcher']>[0]): void {
    this.credentials._removeWatcher(watcher);
  }

  override _equals(other: grpc.ServerCredentials): boolean {
    return other instanceof OptionalCertificates && this.credentials._equals(other.credentials);
  }
}

/** @param credentials that ask for certificates */
export function withOptionalCertificates(credentials: grpc.ServerCredentials): grpc.ServerCredentials {
  return new OptionalCertificates(credentials);
}
