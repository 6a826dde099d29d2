/** The token that calls show, made anew before it expires. */

import type { Clock } from '../runtime/clock.ts';

/** A JSON Web Token, or what gets one: called again before the last one expires. */
export type Token = string | (() => string | Promise<string>);

/** A new token is asked for when so much of the last one's time is left, milliseconds. */
const RENEW_MS = 30_000;
/** Of a token with a short life, this part. */
const RENEW_PART = 0.2;
/** How long a token is used that does not say when it expires. */
const OPAQUE_MS = 60_000;
/** How long the function may take, milliseconds: what waits for a token would wait for ever. */
const ANSWER_MS = 30_000;
/** After a failure the function rests for so long, milliseconds; whoever needs a token meanwhile hears of the failure. */
export const TOKEN_RETRY_MS = 500;

export class TokenSource {
  private readonly token: Token;
  private readonly clock: Clock;
  private current: { readonly token: string; readonly untilMs: number } | undefined;
  private failed: { readonly error: unknown; readonly untilMs: number } | undefined;
  private pending: Promise<string> | undefined;

  /** @param clock its timers need not keep the process alive: whoever waits for a token does */
  constructor(token: Token, clock: Clock) {
    this.token = token;
    this.clock = clock;
  }

  /** The promise rejects with what the function throws, or because it does not answer. */
  get(): string | Promise<string> {
    const { token, current, failed } = this;
    if (typeof token === 'string') return token;
    if (current !== undefined && this.clock.nowMs() < current.untilMs) return current.token;
    if (failed !== undefined && this.clock.monotonicMs() < failed.untilMs) return Promise.reject(failed.error);
    return (this.pending ??= this.renew(token).finally(() => (this.pending = undefined)));
  }

  /** The server does not take it. */
  forget(token: string): void {
    if (this.current?.token === token) this.current = undefined;
  }

  private async renew(make: () => string | Promise<string>): Promise<string> {
    try {
      const token = await this.answerOf(make);
      if (typeof token !== 'string' || !/^[A-Za-z0-9_.~+/=-]+$/.test(token)) throw new TypeError('the function for the token returned none');
      const nowMs = this.clock.nowMs();
      const leftMs = (expiryMs(token) ?? nowMs + OPAQUE_MS) - nowMs;
      this.current = { token, untilMs: nowMs + leftMs - Math.min(RENEW_MS, leftMs * RENEW_PART) };
      return token;
    } catch (error) {
      this.failed = { error, untilMs: this.clock.monotonicMs() + TOKEN_RETRY_MS };
      throw error;
    }
  }

  private answerOf(make: () => string | Promise<string>): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const timer = this.clock.setTimer(ANSWER_MS, () => reject(new Error(`the function for the token has not answered within ${ANSWER_MS} ms`)));
    void (async () => make())().then(resolve, reject).finally(() => timer.cancel());
    return promise;
  }
}

/** When a JWT says that it expires, milliseconds since 1970; nothing is checked. */
function expiryMs(token: string): number | undefined {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : undefined;
  } catch {
    // Whatever it is, the server will say whether it takes it.
    return undefined;
  }
}
