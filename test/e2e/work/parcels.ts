/**
 * Messages that are published one by one and handled in transactions: each one that was answered must be
 * handled, once. Its handling writes a key that must be absent and adds to a counter.
 */

import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { Mesh } from 'txmesh/client';
import { until } from '../../integration/support/until.ts';
import { Attempts } from './attempts.ts';

const TOPIC = 'e2e-parcels';
const SUBSCRIPTION = 'e2e-carriers';
const COUNTER = 'e2e-handled';
const COLLECTION = 'e2e-handled';
const PUBLISHERS = 2;
const CARRIERS = 8;
/** Publishing is less work than handling: it waits when so many are not handled. */
const MOST_WAITING = 200;
const DRAIN_BOUND_MS = 90_000;

export class Parcels {
  readonly violations: string[] = [];
  readonly errors: Map<string, number>;
  /** Told to be published. */
  readonly published = new Set<string>();
  /** Told not to be. */
  readonly refused = new Set<string>();
  /** Those whose handler came to its end, once or more often. */
  readonly handled = new Set<string>();
  private readonly mesh: Mesh;
  private readonly attempts = new Attempts();
  private readonly news = new EventEmitter();
  private readonly carrying = new AbortController();
  private carriers: Promise<void> = Promise.resolve();

  constructor(mesh: Mesh) {
    this.mesh = mesh;
    this.errors = this.attempts.errors;
  }

  get unknown(): number {
    return this.attempts.unknown;
  }

  async open(): Promise<void> {
    const { topics, subscriptions } = this.mesh.queue();
    await topics.create(TOPIC);
    await subscriptions.create(SUBSCRIPTION, TOPIC, { retryPolicy: { minimumBackoffMs: 100 } });
    await this.mesh.counter(COUNTER).create();
  }

  run(): void {
    this.attempts.run(PUBLISHERS, () => {
      const text = randomUUID();
      return { done: this.publish(text), told: (done) => void (done ? this.published : this.refused).add(text) };
    });
    const onError = (error: unknown): void => {
      const reason = `handling: ${(error as { reason?: string }).reason ?? String(error)}`;
      this.errors.set(reason, (this.errors.get(reason) ?? 0) + 1);
    };
    this.carriers = this.mesh.queue().subscribe(
      SUBSCRIPTION,
      async (message, tx) => {
        tx.put('inventory', COLLECTION, message.text(), '', { precondition: 'absent' });
        tx.add(COUNTER, 1);
        this.handled.add(message.text());
        this.news.emit('handled');
      },
      { concurrency: CARRIERS, signal: this.carrying.signal, onError },
    );
    this.carriers.catch(() => undefined); // It is thrown by stop.
  }

  private async publish(text: string): Promise<void> {
    while (this.published.size - this.handled.size > MOST_WAITING) await once(this.news, 'handled');
    await this.mesh.queue().publish(TOPIC, text);
  }

  /** Resolves when everything that was published is handled. */
  async stop(): Promise<void> {
    await this.attempts.stop();
    const backlog = async (): Promise<number> => (await this.mesh.queue().subscriptions.statistics(SUBSCRIPTION)).backlogMessages;
    await until('every message is handled', DRAIN_BOUND_MS, async () => (await backlog()) === 0, () => `${this.published.size} were published; ${JSON.stringify([...this.errors])}`);
    this.carrying.abort();
    await this.carriers;
  }

  async check(): Promise<void> {
    this.violations.push(...this.attempts.violations);
    const found = new Set<string>();
    for await (const { key } of this.mesh.keyValue('inventory').collection(COLLECTION).scan({ pageSize: 1000 })) found.add(key);
    const { value } = await this.mesh.counter(COUNTER).get();
    if (value !== BigInt(found.size)) this.violations.push(`${value} handled messages were counted, and ${found.size} noted`);
    for (const text of this.published) if (!found.delete(text)) this.violations.push(`the message ${text} was published, and is lost`);
    for (const text of found) this.violations.push(`the message ${text} was handled, and told ${this.refused.has(text) ? 'not to be published' : 'nobody'}`);
  }
}
