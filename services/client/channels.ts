/** Connections: one grpc-js client per address, made at first use. */

import { isIP } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { systemClock, type Clock, type Timer } from '../runtime/clock.ts';
import { CONNECT_BOUND_MS, isReady } from '../runtime/transport/connecting.ts';
import type { Settings } from './options.ts';
import { tokenInterceptor } from './token-interceptor.ts';
import { TokenSource } from './token-source.ts';

const DEFAULTS: grpc.ChannelOptions = {
  // Who fell silent without closing its connections (a paused process, a cut cable) is noticed after 5 s:
  // by then others lead what it led.
  'grpc.keepalive_time_ms': 2_500,
  'grpc.keepalive_timeout_ms': 2_500,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // A pod that comes back has its old name and a new address; the default looks again after 30 s.
  'grpc.dns_min_time_between_resolutions_ms': 1_000,
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  // The SDK retries by itself, knowing what is safe.
  'grpc.enable_retries': 0,
  'grpc.use_local_subchannel_pool': 1,
};

export class Channels {
  private readonly clients = new Map<string, grpc.Client>();
  /** One for each address that is called without a connection. */
  private readonly connecting = new Map<string, Timer>();
  private readonly credentials: grpc.ChannelCredentials;
  private readonly options: grpc.ChannelOptions;

  private readonly token: TokenSource | undefined;

  constructor({ credentials, channelOptions, token }: Pick<Settings, 'credentials' | 'channelOptions' | 'token'>, clock: Clock) {
    this.token = token === undefined ? undefined : new TokenSource(token, { ...clock, setTimer: systemClock.setTimer });
    this.credentials = credentials ?? grpc.credentials.createInsecure();
    this.options = { ...DEFAULTS, ...channelOptions };
  }

  /** @param address host:port */
  to(address: string): grpc.Client {
    let client = this.clients.get(address);
    if (client === undefined) {
      client = new grpc.Client(address, this.credentials, { ...this.nameOptions(address), ...this.options, ...this.tokenOptions(address) });
      this.clients.set(address, client);
    }
    if (!isReady(client) && !this.connecting.has(address)) this.boundConnecting(address, client);
    return client;
  }

  /** What finds no connection in time is given up, as at the replicas: what waits for it fails as surely not sent. */
  private boundConnecting(address: string, client: grpc.Client): void {
    const timer = systemClock.setTimer(CONNECT_BOUND_MS, () => {
      this.connecting.delete(address);
      if (!isReady(client)) this.drop(address, client);
    });
    this.connecting.set(address, timer);
  }

  private drop(address: string, client: grpc.Client): void {
    this.clients.delete(address);
    this.connecting.get(address)?.cancel();
    this.connecting.delete(address);
    client.close();
  }

  /**
   * Node 26 refuses an IP address as TLS's server name, which grpc-js would send. With a dot at its end
   * it passes for a name, and Node's check of the certificate takes the dot away again, whoever made the
   * credentials.
   */
  private nameOptions(address: string): grpc.ChannelOptions {
    const host = address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    return this.credentials._isSecure() && isIP(host) !== 0 ? { 'grpc.ssl_target_name_override': `${host}.` } : {};
  }

  private tokenOptions(address: string): grpc.ClientOptions {
    const { token, credentials } = this;
    return token === undefined ? {} : { interceptors: [tokenInterceptor({ source: token, address, encrypted: credentials._isSecure() })] };
  }

  /** Closes the connections to addresses that are no longer of use, once their calls are done. */
  keepOnly(addresses: ReadonlySet<string>): void {
    for (const [address, client] of this.clients) {
      if (!addresses.has(address)) this.drop(address, client);
    }
  }

  close(): void {
    this.keepOnly(new Set());
  }
}
