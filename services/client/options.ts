/** What a user can set, with the defaults. */

import type * as grpc from '@grpc/grpc-js';
import { startTimeout, systemClock, type Clock } from '../runtime/clock.ts';
import { invalidRequest } from './errors.ts';
import type { Token } from './token-source.ts';

/** How to reach a mesh. */
export interface ConnectOptions {
  /** host:port of one or more replicas, any of them. The others are learned from the cluster. */
  readonly addresses: readonly string[];
  /** Default: insecure, without TLS. */
  readonly credentials?: grpc.ChannelCredentials;
  /** A JSON Web Token that says who calls, or a function that gets one, asked again before it expires. Needs TLS, but on loopback. */
  readonly token?: Token;
  /** For @grpc/grpc-js, over the SDK's own. */
  readonly channelOptions?: grpc.ChannelOptions;
  /** The deadline of calls that name none, milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
  /**
   * How much may pile up here: Execute calls under way, and, for each topic and each counter service by itself,
   * publishes and adds that wait for room. One more fails with reason OVERLOADED. Default 10,000.
   */
  readonly maxPending?: number;
}

/** Taken by every call. */
export interface CallOptions {
  /**
   * Cancels the call. What was already sent may still take effect: then the error is
   * `OutcomeUnknown`, else `Cancelled`.
   */
  readonly signal?: AbortSignal;
  /** The call's deadline, milliseconds from now, retries included. Default: the connection's. */
  readonly timeoutMs?: number;
}

export interface Settings {
  readonly addresses: readonly string[];
  readonly credentials: grpc.ChannelCredentials | undefined;
  readonly token: Token | undefined;
  readonly channelOptions: grpc.ChannelOptions;
  readonly timeoutMs: number;
  readonly maxPending: number;
}

/** host:port, or a name in one of the forms that gRPC knows beside it. */
const ADDRESS = /^(?:(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):(?<port>\d{1,5})|(?:dns|unix|unix-abstract|ipv4|ipv6):\S+)$/;

/** What was given, with the defaults. @throws InvalidRequest */
export function settingsFrom({ addresses, credentials, token, channelOptions = {}, timeoutMs = DEFAULT_TIMEOUT_MS, maxPending = DEFAULT_MAX_PENDING }: ConnectOptions): Settings {
  if (!Array.isArray(addresses) || addresses.length === 0) throw invalidRequest('at least one address is needed, as host:port', 'addresses');
  for (const address of addresses as readonly unknown[]) {
    const match = typeof address === 'string' ? ADDRESS.exec(address) : null;
    if (match === null || Number(match.groups?.['port'] ?? 1) > 65_535)
      throw invalidRequest(`addresses has ${JSON.stringify(address)}; it must be host:port, an IPv6 address in brackets`, 'addresses');
  }
  if (!Number.isSafeInteger(maxPending) || maxPending < 1) throw invalidRequest(`maxPending is ${maxPending}; it must be a whole number from 1 on`, 'maxPending');
  return { addresses, credentials, token, channelOptions, timeoutMs: checkedTimeoutMs(timeoutMs), maxPending };
}

/** Longer deadlines are cut to this: a day. */
const MOST_TIMEOUT_MS = 24 * 60 * 60_000;

/** @throws InvalidRequest */
export function checkedTimeoutMs(timeoutMs: number): number {
  if (!(timeoutMs >= 0)) throw invalidRequest(`timeoutMs is ${timeoutMs}; it must be a number of milliseconds from 0 on`, 'timeoutMs');
  return Math.min(timeoutMs, MOST_TIMEOUT_MS);
}

export const DEFAULT_TIMEOUT_MS = 30_000;
export const DEFAULT_MAX_PENDING = 10_000;

/** Time and chance, which tests replace. */
export interface Environment {
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly entropy: () => number;
}

/** Unlike the servers' clock, its timers keep the process alive: somebody awaits what they retry. */
export const systemEnvironment: Environment = {
  clock: {
    ...systemClock,
    setTimer(delayMs, call) {
      const timeout = startTimeout(delayMs, call);
      return { cancel: () => clearTimeout(timeout) };
    },
  },
  entropy: Math.random,
};
