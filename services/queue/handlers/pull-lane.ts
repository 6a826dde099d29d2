/** What one stream has at one partition: a demand that waits, and deliveries that take of its room. */

import type { DeliveryTag } from '../../kernel/queue/types.ts';
import type { Timer } from '../../runtime/clock.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { formatAckId } from '../codec-ids.ts';
import { PullCall, type Demand, type Pulled } from './pull-call.ts';
import { routesOf, type QueueServices } from './service.ts';

/** What a stream may have delivered, over all partitions. */
export interface Room {
  maxMessages: number;
  maxBytes: number;
  /** In use. */
  messages: number;
  bytes: number;
  /** Messages that demands under way may bring. */
  granted: number;
}

interface Outstanding {
  readonly tag: DeliveryTag;
  readonly bytes: number;
  deadlineMs: number;
}

/** Deliveries that have the same deadline, unless it was moved. */
interface Together {
  readonly deadlineMs: number;
  readonly positions: number[];
}

/** After so long it is looked again what has made room; twice as long each time that there was nothing. */
const LOOK_MS = 20;
const MOST_LOOK_MS = 320;

export class PullLane {
  private readonly services: QueueServices;
  private readonly service: Service;
  private readonly partition: number;
  private readonly room: Room;
  private readonly outstanding = new Map<number, Outstanding>();
  /** In the order of their deadlines, as long as the stream's does not change. */
  private together: Together[] = [];
  private call: PullCall | undefined;
  private granted = 0;
  private resting: Timer | undefined;
  private isLooking = false;
  private lookMs = LOOK_MS;
  /** How many took room when the look began. */
  private lookedAt = 0;
  /** The last demand brought nothing. */
  isIdle = false;

  constructor(services: QueueServices, service: Service, partition: number, room: Room) {
    this.services = services;
    this.service = service;
    this.partition = partition;
    this.room = room;
  }

  get isPulling(): boolean {
    return this.call !== undefined || this.resting !== undefined;
  }

  pull(demand: Demand, forwarded: boolean, onPulled: (pulled: Pulled) => void): void {
    this.granted = demand.maxMessages;
    this.room.granted += demand.maxMessages;
    this.call = new PullCall(this.services, this.service, this.partition, demand, (pulled) => {
      this.release();
      this.isIdle = pulled.type === 'delivered' ? pulled.delivered.messages.length === 0 : pulled.type === 'failed' || pulled.messages.length === 0;
      onPulled(pulled);
    });
    this.call.start(forwarded);
  }

  /** Nothing more is wanted. */
  cancel(): void {
    this.call?.cancel();
    this.release();
    this.resting?.cancel();
    this.resting = undefined;
  }

  /** Asks again only after a while. */
  rest(ms: number, then: () => void): void {
    this.resting = this.services.clock.setTimer(ms, () => {
      this.resting = undefined;
      then();
    });
  }

  /** A message was delivered. */
  track(tag: DeliveryTag, bytes: number, deadlineMs: number): void {
    const { position } = tag;
    this.settled(position);
    this.outstanding.set(position, { tag, bytes, deadlineMs });
    this.room.messages++;
    this.room.bytes += bytes;
    this.expireAt(position, deadlineMs);
  }

  /** It takes no room any more. */
  settled(position: number): void {
    const found = this.outstanding.get(position);
    if (found === undefined) return;
    this.outstanding.delete(position);
    this.room.messages--;
    this.room.bytes -= found.bytes;
  }

  /** Its deadline is another one. */
  moved(position: number, deadlineMs: number): void {
    const found = this.outstanding.get(position);
    if (found === undefined) return;
    found.deadlineMs = deadlineMs;
    this.expireAt(position, deadlineMs);
  }

  /** Lets one look at a time happen, after a while, where something takes room. It ends with {@link looked}. */
  lookSoon(look: () => void): void {
    if (this.isLooking || this.outstanding.size === 0) return;
    this.isLooking = true;
    this.services.clock.setTimer(this.lookMs, () => {
      this.lookedAt = this.outstanding.size;
      look();
    });
  }

  looked(): void {
    this.isLooking = false;
    this.lookMs = this.outstanding.size < this.lookedAt ? LOOK_MS : Math.min(MOST_LOOK_MS, 2 * this.lookMs);
  }

  /** Ack ids of the deliveries that have taken room for longest. */
  oldest(limit: number): string[] {
    const found: string[] = [];
    const route = routesOf(this.service).of(this.partition);
    for (const { tag } of this.outstanding.values()) {
      if (found.length === limit) break;
      found.push(formatAckId(route, tag));
    }
    return found;
  }

  /** Forgets deliveries whose deadline has passed. */
  sweep(nowMs: number): void {
    if (this.together.length === 0 || (this.together[0]!.deadlineMs > nowMs && this.together.at(-1)!.deadlineMs > nowMs)) return;
    this.together = this.together.filter(({ deadlineMs, positions }) => {
      if (deadlineMs > nowMs) return true;
      for (const position of positions) if ((this.outstanding.get(position)?.deadlineMs ?? Infinity) <= nowMs) this.settled(position);
      return false;
    });
  }

  private expireAt(position: number, deadlineMs: number): void {
    const last = this.together.at(-1);
    if (last?.deadlineMs === deadlineMs) last.positions.push(position);
    else this.together.push({ deadlineMs, positions: [position] });
  }

  private release(): void {
    if (this.call === undefined) return;
    this.call = undefined;
    this.room.granted -= this.granted;
    this.granted = 0;
  }
}
