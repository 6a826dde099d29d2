/** The publishers of a connection, one for each topic that was published to lately. */

import type { Rpc } from '../rpc.ts';
import { Publisher } from './publisher.ts';

/** So many are kept when nothing is under way at them. */
const MOST_IDLE = 64;

export class Publishers {
  private readonly rpc: Rpc;
  /** By participant and topic; the one that was used last comes last. */
  private readonly publishers = new Map<string, Publisher>();

  constructor(rpc: Rpc) {
    this.rpc = rpc;
  }

  to(participant: string, topic: string): Publisher {
    const name = `${participant}\n${topic}`;
    let publisher = this.publishers.get(name);
    if (publisher === undefined) {
      this.dropIdle();
      publisher = new Publisher(this.rpc, participant, topic);
    } else this.publishers.delete(name);
    this.publishers.set(name, publisher);
    return publisher;
  }

  close(): void {
    for (const publisher of this.publishers.values()) publisher.close();
    this.publishers.clear();
  }

  private dropIdle(): void {
    if (this.publishers.size < MOST_IDLE) return;
    for (const [name, publisher] of this.publishers) {
      if (!publisher.isIdle) continue;
      this.publishers.delete(name);
      return publisher.close();
    }
  }
}
