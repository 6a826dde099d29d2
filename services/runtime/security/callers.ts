/** Finds out who makes a call: from its token, else from its connection's certificate. */

import type { Failure } from '../../kernel/failure.ts';
import type { ServerCall } from '../transport/context.ts';
import { isLoopback } from '../transport/loopback.ts';
import { BoundedMap } from './bounded-map.ts';
import { connectionOf, spiffeIdOf } from './certificate.ts';
import { accountOf, type Principal } from './principal.ts';
import type { Rights } from './rights.ts';
import { invalid, TOKEN_EXPIRED, type TokenPrincipal, type Tokens } from './tokens.ts';

const AUTHORIZATION_HEADER = 'authorization';
const BEARER = /^bearer +([A-Za-z0-9_.~+/=-]+)$/i;

/** A principal, with what belongs to it. */
export class Caller {
  readonly principal: Principal;
  readonly account: string;
  /** Under the policy that they name. */
  rights: Rights | undefined;

  constructor(principal: Principal) {
    this.principal = principal;
    this.account = accountOf(principal);
  }
}

/** Certificates that come together with one token, remembered. */
const MOST_CERTIFICATES = 16;

export interface CallersOptions {
  /** Absent: no tokens are taken. */
  readonly tokens?: Tokens | undefined;
  /** Whether connections are encrypted. */
  readonly encrypted: () => boolean;
  readonly nowMs: () => number;
}

export class Callers {
  private readonly options: CallersOptions;
  private readonly byConnection = new WeakMap<object, Caller>();
  /** Callers of tokens, as long as their token is remembered: by what their connection's certificate names. */
  private readonly byToken = new WeakMap<TokenPrincipal, BoundedMap<string, Caller>>();

  constructor(options: CallersOptions) {
    this.options = options;
  }

  /** The promise never rejects. */
  of(call: ServerCall): Caller | Failure | Promise<Caller | Failure> {
    const connected = this.ofConnection(call);
    const given = call.metadata.get(AUTHORIZATION_HEADER);
    if (given.length === 0) return connected;
    const { tokens, encrypted } = this.options;
    if (tokens === undefined) return { reason: 'TOKEN_INVALID', message: 'this server takes no tokens (setting --jwt-jwks): call without one' };
    if (!encrypted() && !isLoopback(hostOf(call.getPeer()))) return UNENCRYPTED;
    const [header] = given;
    const token = given.length === 1 && typeof header === 'string' ? BEARER.exec(header)?.[1] : undefined;
    if (token === undefined) return invalid('must be the one value of authorization, as "Bearer" and the token');
    const found = tokens.verify(token);
    return found instanceof Promise ? found.then((late) => this.ofToken(late, connected)) : this.ofToken(found, connected);
  }

  private ofConnection(call: ServerCall): Caller {
    const connection = connectionOf(call);
    const known = connection && this.byConnection.get(connection);
    if (known !== undefined) return known;
    const uri = spiffeIdOf(call);
    const caller = new Caller(uri === undefined ? { type: 'nobody', address: hostOf(call.getPeer()) } : { type: 'certificate', uri });
    if (connection !== undefined) this.byConnection.set(connection, caller);
    return caller;
  }

  private ofToken(found: TokenPrincipal | Failure, { principal }: Caller): Caller | Failure {
    if ('reason' in found) return found;
    if (found.expiresMs <= this.options.nowMs()) return TOKEN_EXPIRED;
    const certificate = principal.type === 'certificate' ? principal.uri : undefined;
    let callers = this.byToken.get(found);
    if (callers === undefined) this.byToken.set(found, (callers = new BoundedMap(MOST_CERTIFICATES)));
    let caller = callers.get(certificate ?? '');
    if (caller === undefined) callers.set(certificate ?? '', (caller = new Caller({ ...found, certificate })));
    return caller;
  }
}

const UNENCRYPTED: Failure = {
  reason: 'TOKEN_UNENCRYPTED',
  message: 'the token came over a connection without TLS, where anybody on the way could take it: use TLS (settings --tls-cert, --tls-key), and take the token for known to others',
};

/** Of host:port, with or without brackets. */
function hostOf(peer: string): string {
  const colon = peer.lastIndexOf(':');
  return colon < 0 ? peer : peer.slice(0, colon);
}
