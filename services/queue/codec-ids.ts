/** Names of messages and of deliveries, as clients see them. */

import { routingKeyFor } from '../kernel/hash.ts';
import type { DeliveryTag } from '../kernel/queue/types.ts';

/** A message within its topic. */
export interface MessageId {
  readonly partition: number;
  /** Of a memory topic the epoch; else 0, or of a cluster that was restored where its numbers begin. */
  readonly incarnation: number;
  readonly position: number;
}

export function formatMessageId({ partition, incarnation, position }: MessageId): string {
  return incarnation === 0 ? `${partition}-${position}` : `${partition}.${incarnation}-${position}`;
}

const MESSAGE_ID = /^(\d{1,5})(?:\.(\d{1,16}))?-(\d{1,16})$/;

export function parseMessageId(text: string): MessageId | undefined {
  const match = MESSAGE_ID.exec(text);
  if (match === null) return undefined;
  const id = { partition: Number(match[1]), incarnation: Number(match[2] ?? 0), position: Number(match[3]) };
  return Number.isSafeInteger(id.position) && Number.isSafeInteger(id.incarnation) && id.position > 0 ? id : undefined;
}

export const MAX_ACK_ID_BYTES = 256;

/** The first part of the ack ids of a partition: a routing key that leads there. */
export class Routes {
  private readonly routes: readonly string[];
  private readonly partitions: ReadonlyMap<string, number>;

  constructor(partitions: number) {
    this.routes = Array.from({ length: partitions }, (_, partition) => routingKeyFor(partition, partitions));
    this.partitions = new Map(this.routes.map((route, partition) => [route, partition]));
  }

  of(partition: number): string {
    return this.routes[partition]!;
  }

  /** Undefined: no partition has this route. */
  partitionOf(route: string): number | undefined {
    return this.partitions.get(route);
  }
}

/** `<route>:<generation>.<position>.<attempt>`, and the incarnation if it is not 0; numbers in base 36. */
export function formatAckId(route: string, { generation, position, attempt, incarnation }: DeliveryTag): string {
  const id = `${route}:${generation.toString(36)}.${position.toString(36)}.${attempt.toString(36)}`;
  return incarnation === 0 ? id : `${id}.${incarnation.toString(36)}`;
}

/** A delivery and its route; undefined where it is no ack id. */
export interface AckId {
  readonly route: string;
  readonly tag: DeliveryTag;
}

const DOT = 0x2e;

export function parseAckId(text: string): AckId | undefined {
  const colon = text.indexOf(':');
  if (colon <= 0 || text.length > MAX_ACK_ID_BYTES) return undefined;
  const numbers = [0, 0, 0, 0];
  let index = 0;
  let digits = 0;
  for (let i = colon + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (digits === 0 || ++index > 3) return undefined;
      digits = 0;
      continue;
    }
    const digit = code >= 0x30 && code <= 0x39 ? code - 0x30 : code >= 0x61 && code <= 0x7a ? code - 0x57 : -1;
    if (digit < 0) return undefined;
    numbers[index] = numbers[index]! * 36 + digit;
    digits++;
  }
  if (index < 2 || digits === 0) return undefined;
  const [generation, position, attempt, incarnation] = numbers as [number, number, number, number];
  if (!(generation <= Number.MAX_SAFE_INTEGER && position <= Number.MAX_SAFE_INTEGER && incarnation <= Number.MAX_SAFE_INTEGER)) return undefined;
  if (position === 0 || attempt === 0 || attempt > 0xffff_ffff) return undefined;
  return { route: text.slice(0, colon), tag: { generation, position, attempt, incarnation } };
}
