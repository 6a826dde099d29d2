/** Who calls. */

export type Principal =
  /** Without a certificate that names it, and without a token. */
  | { readonly type: 'nobody'; readonly address: string }
  /** @param uri its SPIFFE id, from the URI in its certificate */
  | { readonly type: 'certificate'; readonly uri: string }
  /** A verified JWT. It speaks for the call; what the connection's certificate names is kept beside it. */
  | {
      readonly type: 'token';
      readonly issuer: string;
      readonly subject: string;
      readonly claims: Readonly<Record<string, unknown>>;
      readonly certificate: string | undefined;
      /** Wall time, milliseconds, leeway included. */
      readonly expiresMs: number;
    };

/** For messages and logs. Has nothing in it that gives rights. */
export function describe(principal: Principal): string {
  switch (principal.type) {
    case 'nobody':
      return 'nobody';
    case 'certificate':
      return principal.uri;
    case 'token':
      return `${principal.subject} (${principal.issuer})`;
  }
}

/** Whose limits its calls count against. */
export function accountOf(principal: Principal): string {
  switch (principal.type) {
    case 'nobody':
      return `address ${principal.address}`;
    case 'certificate':
      return principal.uri;
    case 'token':
      return `token ${principal.issuer} ${principal.subject}`;
  }
}
