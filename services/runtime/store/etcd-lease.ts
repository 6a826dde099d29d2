/**
 * A lease renewed by single requests under its holder's control. etcd3's own keepalive loop is not
 * used: it reports a lost lease only after twice its time to live.
 */
import { LeaseLost, StoreUnavailable } from './errors.ts';
import { EtcdFailed, type EtcdConnection } from './etcd-connection.ts';
import type { Lease } from './store.ts';

/** A renewal that takes longer than this part of the time to live should try another endpoint. */
const RENEWAL_PART_OF_TTL = 1 / 3;

export class EtcdLease implements Lease {
  readonly id: string;
  readonly ttlMs: number;
  readonly #connection: EtcdConnection;
  readonly #description: string;
  readonly #timeoutMs: number;

  constructor(id: string, ttlMs: number, requestTimeoutMs: number, connection: EtcdConnection, description: string) {
    this.id = id;
    this.ttlMs = ttlMs;
    this.#connection = connection;
    this.#description = description;
    this.#timeoutMs = Math.min(requestTimeoutMs, ttlMs * RENEWAL_PART_OF_TTL);
  }

  async renew(): Promise<void> {
    let leftSeconds: number;
    try {
      leftSeconds = await this.#keepAliveOnce();
    } catch (error) {
      throw new StoreUnavailable(`${this.#description}: lease ${this.id} was not renewed: ${reasonOf(error)}`, { cause: error });
    }
    if (leftSeconds <= 0) throw new LeaseLost(`lease ${this.id} has ended: take a new lease`);
  }

  async revoke(): Promise<void> {
    try {
      await this.#connection.call('Lease', 'leaseRevoke', { ID: this.id });
    } catch (error) {
      if (error instanceof EtcdFailed && error.failure.type === 'lease-not-found') return;
      throw new StoreUnavailable(`${this.#description}: it is not certain that lease ${this.id} has ended: ${reasonOf(error)}; try again`, { cause: error });
    }
  }

  async #keepAliveOnce(): Promise<number> {
    const { stream, endpoint } = await this.#connection.stream<{ ID: string }, { TTL: string }>('Lease', 'leaseKeepAlive', this.#timeoutMs);
    return await new Promise<number>((resolve, reject) => {
      stream.on('data', (response) => {
        resolve(Number(response.TTL));
        stream.end();
        stream.cancel();
      });
      // After the answer it reports our own cancelling, and rejecting does nothing.
      stream.on('error', (error) => reject(error));
      stream.on('end', () => reject(new Error('the server ended the stream without an answer')));
      stream.write({ ID: this.id });
    }).catch((error: unknown) => {
      throw new EtcdFailed(this.#connection.streamFailed(endpoint, error));
    });
  }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
