/** What every part of the queue shares: one partition's log, timers and memory, and the step under way. */

import type { Failure } from '../failure.ts';
import type { Origin } from '../kernel.ts';
import type { RecordOutput, ResourceContext } from '../participant/resource.ts';
import { Sessions } from '../sessions/sessions.ts';
import { DEFAULT_SESSION_SETTINGS } from '../sessions/types.ts';
import { Timers, type Timed } from '../timers.ts';
import { AckLog } from './ack-log.ts';
import type { QueueBug } from './bugs.ts';
import { PayloadCache } from './payloads.ts';
import type { QueueRequest, QueueSettings, QueueTypes } from './types.ts';

export type QueueContext = ResourceContext<QueueTypes>;

/** Something that waits for its time. */
export interface Due extends Timed {
  ring(): void;
}

/** A topic that the batch has changed. */
export interface Touched {
  readonly config: { readonly name: string };
  seal(): void;
}

/** A subscription at which somebody may be served. */
export interface Woken {
  readonly closed: boolean;
  readonly config: { readonly name: string };
  readonly pulls: { serve(context: QueueContext): void; fail(failure: Failure, context: QueueContext): void };
}

/** Somebody who waits. */
export interface Waiting {
  cancel(): void;
}

/** Unsettled messages that a publisher's session may have at a partition. */
export const SESSION_TOKENS = 16_384;
const RESULT_BYTES = 9;

export class QueueState {
  readonly settings: QueueSettings;
  readonly bugs: ReadonlySet<QueueBug>;
  readonly log = new AckLog();
  readonly payloads: PayloadCache;
  readonly timers = new Timers<Due>();
  /** Of publishers to disk topics, and to memory topics: the latter are not recorded. */
  readonly sessions: Sessions<number>;
  readonly volatileSessions: Sessions<number>;
  /** Bytes of memory topics. */
  memoryBytes = 0;
  /** Topics that the batch has changed. */
  readonly touched = new Set<Touched>();
  /** Topics that the batch has deleted. */
  readonly deleted = new Set<string>();
  /** Subscriptions that may have something for those who wait. */
  readonly woken = new Set<Woken>();
  /** Pulls that wait, by whoever asked. */
  readonly pulls = new Map<Origin, Waiting>();
  /** Work for steps of their own; handed on when the batch ends. */
  readonly follows: QueueRequest[] = [];
  /** Bytes that deliveries of the batch may still add to the log. */
  recordBudget = 0;
  epoch = 0;

  // Of the step under way.
  nowMs = 0;
  /** Messages that may still be dropped to make room. */
  dropBudget = 0;
  out!: RecordOutput<QueueTypes>;

  constructor(settings: QueueSettings) {
    this.settings = settings;
    this.bugs = settings.bugs;
    this.payloads = new PayloadCache(settings.cacheBytes);
    const sessions = {
      ...DEFAULT_SESSION_SETTINGS,
      retentionMs: settings.sessionRetentionMs,
      maxSessionTokens: SESSION_TOKENS,
      resultBytes: RESULT_BYTES,
      scopeBytes: 0,
    };
    this.sessions = new Sessions(sessions);
    this.volatileSessions = new Sessions(sessions);
  }

  /**
   * What positions of a topic count under: of a memory topic the epoch, which begins them anew; of a disk
   * topic 0, or what tells them from those that were given out before the cluster was restored (P10).
   */
  incarnationOf(topic: { readonly isDurable: boolean } | undefined): number {
    return topic?.isDurable === false ? this.epoch : this.settings.numbersAbove;
  }

  follow(request: QueueRequest): void {
    this.follows.push(request);
  }
}
