/** The identity in a caller's certificate: a SPIFFE id, the one URI among its names. Never its common name. */

import { X509Certificate } from 'node:crypto';
import type { ServerCall } from '../transport/context.ts';

const MOST_CHARACTERS = 2048;
/** The SPIFFE standard's section 2: a trust domain, and path segments that are no dots alone. */
const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)+$/;
/** One name of a list; Node writes values that could be taken for several in quotes. */
const NAME = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;

export function isSpiffeId(text: string): boolean {
  return text.length <= MOST_CHARACTERS && SPIFFE_ID.test(text);
}

/**
 * Undefined: the connection shows no certificate that its authority vouches for, or it names nobody.
 * This reads the certificate, so that it is to be asked once for a connection.
 */
export function spiffeIdOf(call: ServerCall): string | undefined {
  // Without an authority to check it against, or with a certificate that failed, this is empty.
  const raw = call.getAuthContext?.().sslPeerCertificate?.raw;
  return raw === undefined ? undefined : spiffeIdIn(new X509Certificate(raw).subjectAltName ?? '');
}

/** @param names as X509Certificate.subjectAltName writes them */
export function spiffeIdIn(names: string): string | undefined {
  const uris: string[] = [];
  NAME.lastIndex = 0;
  while (NAME.lastIndex < names.length) {
    const match = NAME.exec(names);
    // What can't be understood names nobody.
    if (match === null) return undefined;
    if (match[1] === 'URI') uris.push(match[2]!);
  }
  // More than one would leave open who it is; the standard (X.509-SVID, section 2) has exactly one.
  return uris.length === 1 && isSpiffeId(uris[0]!) ? uris[0] : undefined;
}

/**
 * The connection of a call, to remember by. grpc-js does not give it away; where it can't be found, nothing
 * is remembered, and each call reads the certificate again.
 */
export function connectionOf(call: ServerCall): object | undefined {
  let inner = (call as unknown as { call?: Inner }).call;
  while (inner?.nextCall !== undefined) inner = inner.nextCall;
  const session = inner?.stream?.session;
  return typeof session === 'object' && session !== null ? session : undefined;
}

interface Inner {
  readonly stream?: { readonly session?: unknown };
  readonly nextCall?: Inner;
}
