/** Makes signed tokens, and the key set that they are verified with. For tests. */

import { writeFileSync } from 'node:fs';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWTPayload } from 'jose';

export const ISSUER = 'https://issuer.test';
export const AUDIENCE = 'txmesh-test';

export class TokenIssuer {
  private readonly key: CryptoKey;
  readonly jwks: string;

  private constructor(key: CryptoKey, jwks: string) {
    this.key = key;
    this.jwks = jwks;
  }

  static async create(kid = 'one'): Promise<TokenIssuer> {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    return new TokenIssuer(privateKey, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }] }));
  }

  writeTo(file: string): string {
    writeFileSync(file, this.jwks);
    return file;
  }

  /** @param seconds until it expires; before 0: since when it has */
  token(subject: string, seconds = 600, { kid = 'one', ...claims }: JWTPayload & { readonly kid?: string } = {}): Promise<string> {
    const nowSeconds = Math.floor(Date.now() / 1000);
    return new SignJWT({ iss: ISSUER, aud: AUDIENCE, sub: subject, exp: nowSeconds + seconds, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid })
      .sign(this.key);
  }
}
