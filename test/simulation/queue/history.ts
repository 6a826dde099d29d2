/** What clients did with queues, what they were told and given, with true times, and what was stored. */

import type { PreparedBranch } from '../world/prepared.ts';
import type { Leaving } from '../world/commands.ts';

/** One message that somebody wants published. */
export interface PublishedMessage {
  readonly topic: string;
  readonly partition: number;
  /** Different for every message, the same for every copy of a request. */
  readonly payload: string;
  /** Empty: none. */
  readonly orderingKey: string;
  readonly priority: number;
  /** By the clock of who published; 0: at once. */
  readonly deliverAtMs: number;
  /** 0: as long as the topic keeps it. */
  readonly timeToLiveMs: number;
  /** Whether its own id, and not a token, keeps it from being published twice. */
  readonly deduplicated: boolean;
  /** Of the transaction's content that it is a part of. */
  readonly writer: string | undefined;
  readonly startMs: number;
  /** When it was told; Infinity: not yet. */
  endMs: number;
  /** What was told. */
  position: number | undefined;
}

/** A message as it stood in the store. */
export interface StoredMessage {
  readonly topic: string;
  readonly partition: number;
  readonly position: number;
  readonly payload: string;
  /** By the leader's clock. */
  readonly publishMs: number;
  readonly fromMs: number;
  /** Infinity: it is there. */
  untilMs: number;
}

/** Names one message of one subscription; a seek or purge gives it a new generation. */
export interface Delivery {
  readonly subscription: string;
  readonly partition: number;
  readonly generation: number;
  readonly position: number;
}

/** A message left for a consumer, who may not have got it. */
export interface DeliveredMessage extends Delivery, Leaving {
  readonly payload: string;
  readonly attempt: number;
  readonly publishMs: number;
  /** How long the consumer has, milliseconds. */
  readonly deadlineMs: number;
}

/** Somebody settles or extends one delivery, outside of transactions. */
export interface Settlement extends Delivery {
  readonly type: 'acknowledge' | 'extend' | 'giveBack' | 'release';
  readonly attempt: number;
  /** Of an extension: until when from now on. */
  readonly deadlineMs: number;
  readonly startMs: number;
  endMs: number;
  state: 'asked' | 'done' | 'refused';
}

/** A transaction acknowledges one delivery. */
export interface StagedAcknowledgement extends Delivery {
  readonly payload: string;
  readonly attempt: number;
  readonly writer: string;
  readonly startMs: number;
}

/** A pull that was answered. */
export interface AnsweredPull extends Leaving {
  readonly subscription: string;
  readonly partition: number;
  /** How many messages it had room for, and got. */
  readonly room: number;
  readonly got: number;
}

/** An administrator moved a subscription, or emptied a topic. */
export interface Administration {
  readonly subscription: string | undefined;
  readonly topic: string;
  readonly startMs: number;
}

/** What a subscription still gave out when everything had come to rest. */
export interface Drained extends Delivery {
  readonly payload: string;
}

export class QueueHistory {
  readonly published = new Map<string, PublishedMessage>();
  readonly delivered: DeliveredMessage[] = [];
  readonly settlements: Settlement[] = [];
  readonly staged: StagedAcknowledgement[] = [];
  readonly pulls: AnsweredPull[] = [];
  /** When which machine's wall clock was set. */
  readonly jumps: { readonly machine: string; readonly atMs: number }[] = [];
  readonly administrations: Administration[] = [];
  /** Every message that was ever stored, in that order. */
  readonly stored: StoredMessage[] = [];
  /** Subscriptions' generations, by `<subscription>/<partition>`: from when on which one counted. */
  readonly generations = new Map<string, { readonly generation: number; readonly fromMs: number }[]>();
  /** Everything that was ever prepared, at all participants. */
  prepared: readonly PreparedBranch[] = [];
  /** What was still to be had when everything had come to rest. */
  readonly drained: Drained[] = [];
  storedIn(topic: string): StoredMessage[] {
    return this.stored.filter((message) => message.topic === topic);
  }
}

export const nameOfDelivery = ({ subscription, partition, generation, position }: Delivery): string =>
  `${subscription}/${partition}/${generation}/${position}`;

/** For people. */
export const ms = (timeMs: number): string => `${timeMs.toFixed(1)} ms`;
