/** The public keys that tokens are verified with: a JSON Web Key Set (RFC 7517), from a file or a URL. */

import { createLocalJWKSet, createRemoteJWKSet, customFetch, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import type { Clock, Timer } from '../clock.ts';
import { isLoopback } from '../transport/loopback.ts';
import { WatchedFile } from './watched-file.ts';

/** The set at a URL is fetched so often, and sooner for a key that is not in it, but not within this of the last time. */
const REFRESH_MS = 5 * 60_000;
const LEAST_BETWEEN_MS = 30_000;
/** The keys of a URL that can't be reached are used for so long. */
const MOST_AGE_MS = 60 * 60_000;
const FETCH_MS = 5_000;
/** After a fetch that failed. */
const REST_MS = 1_000;
const MOST_BYTES = 1024 * 1024;
const MOST_KEYS = 100;

export interface KeySet {
  readonly keyFor: JWTVerifyGetKey;
  /** Calls when keys may have been withdrawn. */
  onChange(call: () => void): void;
  close(): void;
}

/** The keys can't be had at the moment, which is no fault of the caller's. */
export class KeysUnavailable extends Error {}

export interface KeySetOptions {
  readonly clock: Clock;
  log(message: string, fields: Record<string, unknown>): void;
}

/** @param source a file, or an https URL. @throws Error that says what is wrong with it. */
export function openKeySet(source: string, options: KeySetOptions): KeySet {
  return /^https?:\/\//.test(source) ? new KeySetAtUrl(source, options) : new KeySetInFile(source, options);
}

class KeySetInFile implements KeySet {
  private readonly file: WatchedFile;
  private keys: JWTVerifyGetKey;
  private changed: () => void = () => undefined;

  constructor(path: string, { clock, log }: KeySetOptions) {
    this.file = new WatchedFile(path, clock);
    this.keys = parseKeySet(path, this.file.text);
    this.file.watch(
      (text) => {
        try {
          this.keys = parseKeySet(path, text);
          this.changed();
          log('the keys of tokens were read again', { file: path });
        } catch (error) {
          log('the keys of tokens have changed and are wrong: those read before stay in use', { file: path, error: String(error) });
        }
      },
      (error) => log("the keys of tokens can't be read: those read before stay in use", { file: path, error: error.message }),
    );
  }

  readonly keyFor: JWTVerifyGetKey = (header, token) => this.keys(header, token);

  onChange(call: () => void): void {
    this.changed = call;
  }

  close(): void {
    this.file.close();
  }
}

class KeySetAtUrl implements KeySet {
  private readonly clock: Clock;
  private readonly url: URL;
  private readonly remote: ReturnType<typeof createRemoteJWKSet>;
  private timer: Timer | undefined;
  private failedMs = -Infinity;
  private changed: () => void = () => undefined;

  constructor(source: string, { clock, log }: KeySetOptions) {
    this.clock = clock;
    this.url = new URL(source);
    if (this.url.protocol !== 'https:' && !isLoopback(this.url.hostname))
      throw new Error(`${source} is not https: whoever is on the way could exchange the keys`);
    this.remote = createRemoteJWKSet(this.url, {
      timeoutDuration: FETCH_MS,
      cooldownDuration: LEAST_BETWEEN_MS,
      cacheMaxAge: MOST_AGE_MS,
      [customFetch]: (url, options) => this.fetch(url, options),
    });
    const refresh = (): void => {
      this.timer = clock.setTimer(REFRESH_MS, refresh);
      this.remote.reload().then(
        () => this.changed(),
        (error: unknown) => log("the keys of tokens can't be fetched", { url: this.url.origin + this.url.pathname, error: String(error) }),
      );
    };
    refresh();
  }

  readonly keyFor: JWTVerifyGetKey = async (header, token) => {
    try {
      return await this.remote(header, token);
    } catch (error) {
      // A token's own faults have codes of their own.
      const code = (error as { code?: string }).code ?? '';
      if (/^ERR_(JWKS_NO_MATCHING_KEY|JWKS_MULTIPLE_MATCHING_KEYS|JOSE_NOT_SUPPORTED)$/.test(code)) throw error;
      throw new KeysUnavailable(`the keys of tokens can't be fetched: ${String(error)}`, { cause: error });
    }
  };

  onChange(call: () => void): void {
    this.changed = call;
  }

  close(): void {
    this.timer?.cancel();
  }

  /** Bounded in bytes, and at rest for a moment after a failure. */
  private async fetch(url: string, options: RequestInit): Promise<Response> {
    if (this.clock.monotonicMs() - this.failedMs < REST_MS) throw new Error('the last try, a moment ago, failed');
    try {
      const response = await fetch(url, options);
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      for await (const chunk of response.body ?? []) {
        chunks.push(chunk as Uint8Array);
        if ((bytes += (chunk as Uint8Array).length) > MOST_BYTES) throw new Error(`the key set has more than ${MOST_BYTES} bytes`);
      }
      const text = Buffer.concat(chunks).toString('utf8');
      if (response.status !== 200) throw new Error(`${this.url.origin} answered with status ${response.status}`);
      parseKeySet(this.url.pathname, text);
      return new Response(text);
    } catch (error) {
      this.failedMs = this.clock.monotonicMs();
      throw error;
    }
  }
}

/** @throws Error */
function parseKeySet(source: string, text: string): JWTVerifyGetKey {
  let set: JSONWebKeySet;
  try {
    set = JSON.parse(text) as JSONWebKeySet;
  } catch (error) {
    throw new Error(`${source} is no JSON: ${String(error)}`, { cause: error });
  }
  if (!Array.isArray(set?.keys) || set.keys.length === 0 || set.keys.length > MOST_KEYS)
    throw new Error(`${source} must be a JSON Web Key Set with 1 to ${MOST_KEYS} keys`);
  for (const { kty, d } of set.keys) {
    if (kty === 'oct') throw new Error(`${source} has a symmetric key: whoever verifies with it could make tokens; use RSA, EC or OKP keys`);
    if (d !== undefined) throw new Error(`${source} has a private key: only the public part belongs there`);
  }
  return createLocalJWKSet(set);
}
