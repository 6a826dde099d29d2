/** Verifies JSON Web Tokens (RFC 7519), and remembers those that it has verified. */

import { hash } from 'node:crypto';
import { errors, jwtVerify } from 'jose';
import type { Failure } from '../../kernel/failure.ts';
import type { Clock } from '../clock.ts';
import type { Algorithm } from './algorithms.ts';
import { BoundedMap } from './bounded-map.ts';
import { KeysUnavailable, type KeySet } from './key-set.ts';
import type { Principal } from './principal.ts';

export interface TokenRules {
  readonly issuer: string;
  readonly audience: string;
  readonly algorithms: readonly Algorithm[];
  /** By which clocks may differ, milliseconds. */
  readonly leewayMs: number;
}

export type TokenPrincipal = Extract<Principal, { readonly type: 'token' }>;

const MOST_CHARACTERS = 8 * 1024;
const MOST_KEPT = 10_000;
/** A token that was verified is verified again after this: its key may have been withdrawn. */
const KEPT_MS = 5 * 60_000;
/** Tokens that are being verified at a time. */
const MOST_PENDING = 256;

interface Verified {
  readonly principal: TokenPrincipal;
  readonly untilMs: number;
}

export class Tokens {
  private readonly keys: KeySet;
  private readonly rules: TokenRules;
  private readonly clock: Clock;
  /** By the token's hash: tokens themselves are not kept. */
  private readonly verified = new BoundedMap<string, Verified>(MOST_KEPT);
  private readonly pending = new Map<string, Promise<TokenPrincipal | Failure>>();
  /** Of the keys: what was verified with others is not remembered. */
  private generation = 0;

  constructor(keys: KeySet, rules: TokenRules, clock: Clock) {
    this.keys = keys;
    this.rules = rules;
    this.clock = clock;
    keys.onChange(() => {
      this.verified.clear();
      this.generation++;
    });
  }

  /** Who the token speaks for, or why nobody. Its promise never rejects. */
  verify(token: string): TokenPrincipal | Failure | Promise<TokenPrincipal | Failure> {
    if (token.length > MOST_CHARACTERS) return invalid(`has ${token.length} characters, the limit is ${MOST_CHARACTERS}`);
    const key = hash('sha256', token, 'base64url');
    const nowMs = this.clock.nowMs();
    const known = this.verified.get(key);
    if (known !== undefined) {
      if (known.untilMs > nowMs) return known.principal;
      this.verified.delete(key);
    }
    const pending = this.pending.get(key);
    if (pending !== undefined) return pending;
    if (this.pending.size >= MOST_PENDING)
      return { reason: 'OVERLOADED', message: `${MOST_PENDING} tokens are being verified at this replica, its limit; try again later`, retryAfterMs: 100 };
    const { generation } = this;
    const verifying = this.check(token)
      .then((found) => {
        if (!('reason' in found) && generation === this.generation) this.verified.set(key, { principal: found, untilMs: Math.min(found.expiresMs, nowMs + KEPT_MS) });
        return found;
      })
      .finally(() => this.pending.delete(key));
    this.pending.set(key, verifying);
    return verifying;
  }

  close(): void {
    this.keys.close();
  }

  private async check(token: string): Promise<TokenPrincipal | Failure> {
    const { issuer, audience, algorithms, leewayMs } = this.rules;
    try {
      const { payload } = await jwtVerify(token, this.keys.keyFor, {
        issuer,
        audience,
        algorithms: [...algorithms],
        clockTolerance: leewayMs / 1000,
        currentDate: new Date(this.clock.nowMs()),
        requiredClaims: ['exp', 'sub'],
      });
      const { sub, exp } = payload;
      if (typeof sub !== 'string' || sub === '') return invalid('has no subject');
      return { type: 'token', issuer, subject: sub, claims: payload, certificate: undefined, expiresMs: exp! * 1000 + leewayMs };
    } catch (error) {
      return explain(error);
    }
  }
}

/** What is wrong, in words of ours: nothing of the token itself is said again. */
function explain(error: unknown): Failure {
  if (error instanceof KeysUnavailable)
    return { reason: 'TOKEN_KEYS_UNAVAILABLE', message: 'the keys that tokens are verified with can\'t be had at the moment; try again later', retryAfterMs: 1_000 };
  if (error instanceof errors.JWTExpired) return TOKEN_EXPIRED;
  if (error instanceof errors.JWTClaimValidationFailed) return invalid(CLAIMS[error.claim] ?? 'has a claim that is wrong', error.claim);
  if (error instanceof errors.JWKSNoMatchingKey) return invalid('is signed by a key that the issuer does not have');
  if (error instanceof errors.JWKSMultipleMatchingKeys) return invalid('does not say which of several keys it is signed by (kid)');
  if (error instanceof errors.JWSSignatureVerificationFailed) return invalid('has a signature that is wrong');
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JOSENotSupported) return invalid('is signed in a way that is not allowed (alg)');
  return invalid('is no signed JSON Web Token');
}

const CLAIMS: Readonly<Record<string, string>> = {
  iss: 'comes from another issuer',
  aud: 'is meant for another audience',
  nbf: 'is not valid yet',
  exp: 'does not say when it expires',
  sub: 'has no subject',
};

export const TOKEN_EXPIRED: Failure = { reason: 'TOKEN_EXPIRED', message: 'the token has expired: get a new one and call again' };

/** Ends a stream that was opened with a token that was valid then. */
export const STREAM_EXPIRED: Failure = {
  reason: 'TOKEN_EXPIRED',
  message: 'the token that the stream was opened with has expired: open it again with a new one',
  metadata: { stream: 'ended' },
};

export function invalid(why: string, claim?: string): Failure {
  return { reason: 'TOKEN_INVALID', message: `the token ${why}`, ...(claim !== undefined && { metadata: { claim } }) };
}
