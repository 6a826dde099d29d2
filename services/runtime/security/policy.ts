/** A policy as its file says it; docs/security.md explains the file. */

import type { ResourceKind } from './access.ts';

/** Whom a rule is for. */
export type Who =
  /** Whoever calls, also without a certificate or token. */
  | 'anybody'
  /** Whoever has shown who it is. */
  | 'authenticated'
  /** Any of these. */
  | readonly Condition[];

/** All that is said must hold. Whoever shows a token is not matched by `certificates` alone. */
export interface Condition {
  /** Patterns of SPIFFE ids. */
  readonly certificates?: readonly string[];
  /** Patterns of the token's `sub`. */
  readonly subjects?: readonly string[];
  /** Patterns, for each of these claims; of a claim with a list, one of its elements matches. */
  readonly claims?: Readonly<Record<string, readonly string[]>>;
}

export type GrantedRight = 'admin' | 'participate';

/** What a rule allows: these methods, or operations, on what is named. What is not named is not allowed. */
export interface Grant extends Readonly<Partial<Record<ResourceKind, readonly string[]>>> {
  /** Patterns of "KeyValueService/Get". */
  readonly methods: readonly string[];
  /** Patterns of types, for participants outside of the mesh: "acme.ledger.v1.Debit". */
  readonly operations: readonly string[];
  readonly rights: readonly GrantedRight[];
}

export interface Rule {
  readonly name: string;
  readonly who: Who;
  readonly allow: readonly Grant[];
}

/** For each caller by itself. */
export interface CallerLimits {
  /** Calls and streams at a time. */
  readonly inFlight?: number;
  readonly callsPerSecond?: number;
  readonly bytesPerSecond?: number;
}

export interface LimitRule extends CallerLimits {
  readonly name: string;
  readonly who: Who;
}

export interface Policy {
  /** Patterns of the SPIFFE ids of the mesh's own replicas. */
  readonly peers: readonly string[];
  /** What anybody may call. */
  readonly open: readonly ('health' | 'reflection')[];
  readonly rules: readonly Rule[];
  /** The first that fits a caller holds. */
  readonly limits: readonly LimitRule[];
}
