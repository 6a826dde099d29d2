/**
 * StreamingPull: one demand waits at every partition of the subscription, with a share of what the
 * consumer has room for. What is delivered takes of the room until it is acknowledged, given back or
 * past its deadline.
 */

import type { Failure } from '../../kernel/failure.ts';
import type { Timer } from '../../runtime/clock.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { surelyNotExecuted } from '../../runtime/errors/status.ts';
import { Violations, wholeNumber } from '../../runtime/router/rules.ts';
import type { StreamRequestMeter } from '../../runtime/telemetry/metrics/requests.ts';
import type { CallContext, Duplex } from '../../runtime/transport/service.ts';
import { encodeDeliveryFrame, peekReceived, type ConsumerFrame, type Delivered } from '../codec-frames.ts';
import { parseAckId } from '../codec-ids.ts';
import { DEFAULTS } from '../codec-api.ts';
import { checkDeliveries } from './check.ts';
import { PullLane, type Room } from './pull-lane.ts';
import type { Pulled } from './pull-call.ts';
import { queueOf, type QueueServices } from './service.ts';
import { groupAckIds, settle, type SettleFailed } from './settle.ts';
import { CALL_LIMITS, objectName, participant } from './validate.ts';

const DEFAULT_MESSAGES = 1000;
const DEFAULT_BYTES = 64 * 1024 * 1024;
/** Messages, and bytes of them, of one pull and so of one frame. */
const PULL_MESSAGES = 2000;
const PULL_BYTES = 1024 * 1024;
/** How long one demand waits; then it is made anew, perhaps elsewhere. */
const WAIT_MS = 10_000;
/** Bound of an acknowledgement at another replica; the consumer asks again. */
const SETTLE_MS = 10_000;
/** After a failure that may pass. */
const RETRY_MS = 200;
/** A stream without room looks at so many deliveries at a time, whether others have acknowledged them. */
const LOOK_MESSAGES = 5_000;
/** How often deliveries are looked through for deadlines that have passed. */
const SWEEP_MS = 250;

type Calls = Duplex<ConsumerFrame, Buffer>;

/** A frame of acknowledgements that is being carried out. */
interface Confirming {
  readonly sequence: number;
  open: number;
}

/** What the sessions of a process share. */
export interface PullParts {
  readonly services: QueueServices;
  /** Counts acknowledgements and demands. Absent: nobody counts. */
  readonly requests: StreamRequestMeter | undefined;
}

export class PullSession {
  private readonly services: QueueServices;
  private readonly requests: StreamRequestMeter | undefined;
  private readonly calls: Calls;
  private readonly context: CallContext;
  private service: Service | undefined;
  private subscription = '';
  private ackDeadlineMs = 0;
  private lanes: PullLane[] = [];
  private readonly room: Room = { maxMessages: DEFAULT_MESSAGES, maxBytes: DEFAULT_BYTES, messages: 0, bytes: 0, granted: 0 };
  private readonly confirming: Confirming[] = [];
  private lastSequence = 0;
  private confirmed = 0;
  private delivered: Delivered[] = [];
  private forwarded: Uint8Array[] = [];
  private failures: SettleFailed[] = [];
  private frameBytes = 0;
  private scheduled = false;
  private blocked = false;
  private ending = false;
  private over = false;
  private turn = 0;
  private sweepTimer: Timer | undefined;
  private fail: ((failure: Failure) => void) | undefined;
  private idle: (() => void) | undefined;

  constructor({ services, requests }: PullParts, calls: Calls, context: CallContext) {
    this.services = services;
    this.requests = requests;
    this.calls = calls;
    this.context = context;
  }

  /** Ends when the consumer has sent its last message and everything in it is carried out. */
  async run(): Promise<void> {
    const failed = new Promise<never>((_, reject) => (this.fail = (failure) => reject(new FailureError(failure))));
    try {
      await Promise.race([this.calls.receive((frame) => this.take(frame)), failed]);
      this.ending = true;
      this.cancelPulls();
      if (this.confirming.length > 0) await Promise.race([new Promise<void>((resolve) => (this.idle = resolve)), failed]);
      this.flush();
      await this.calls.drained();
    } finally {
      this.over = true;
      this.sweepTimer?.cancel();
      this.cancelPulls();
    }
  }

  private cancelPulls(): void {
    for (const lane of this.lanes) lane.cancel();
  }

  private take(frame: ConsumerFrame): void {
    if (this.service === undefined) this.open(frame);
    else if (frame.participant !== '' || frame.subscription !== '') throw new FailureError(ONLY_FIRST);
    this.adjust(frame);
    this.settle(frame);
    this.pump();
  }

  /** @throws FailureError */
  private open({ participant: name, subscription }: ConsumerFrame): void {
    const found = new Violations();
    participant(name, 'participant', found);
    objectName(subscription, 'subscription', found);
    if (found.failure !== undefined) throw new FailureError(found.failure);
    const service = (this.service = queueOf(this.services, name));
    this.subscription = subscription;
    const { clock } = this.services;
    this.lanes = Array.from({ length: service.partitions }, (_, partition) => new PullLane(this.services, service, partition, this.room));
    const sweep = (): void => {
      const nowMs = clock.nowMs();
      for (const lane of this.lanes) lane.sweep(nowMs);
      this.pump();
      this.sweepTimer = clock.setTimer(SWEEP_MS, sweep);
    };
    this.sweepTimer = clock.setTimer(SWEEP_MS, sweep);
  }

  /** What the consumer says about itself. @throws FailureError */
  private adjust({ ackDeadlineMs, maxMessages, maxBytes, sequence, acknowledge, modify }: ConsumerFrame): void {
    const found = new Violations();
    if (ackDeadlineMs !== undefined && (ackDeadlineMs < CALL_LIMITS.leastDeadlineMs || ackDeadlineMs > CALL_LIMITS.mostDeadlineMs))
      found.add('ack_deadline', 'must be from 10 ms to 12 h');
    wholeNumber(0, CALL_LIMITS.streamMessages)(maxMessages, 'max_outstanding_messages', found);
    wholeNumber(0, CALL_LIMITS.streamBytes)(maxBytes, 'max_outstanding_bytes', found);
    if (acknowledge.length > CALL_LIMITS.ackIds) found.exceed('acknowledge_ids', `has ${acknowledge.length} elements, the limit is ${CALL_LIMITS.ackIds}`);
    if (modify.length > CALL_LIMITS.ackIds) found.exceed('modify_deadlines', `has ${modify.length} elements, the limit is ${CALL_LIMITS.ackIds}`);
    modify.forEach(({ deadlineMs }, i) => {
      if (deadlineMs < 0 || deadlineMs > CALL_LIMITS.mostDeadlineMs) found.add(`modify_deadlines[${i}].ack_deadline`, 'must be from 0 to 12 h');
    });
    if (sequence !== 0 && sequence <= this.lastSequence) found.add('sequence', `is ${sequence}; must be above ${this.lastSequence}`);
    if (found.failure !== undefined) throw new FailureError(found.failure);
    if (ackDeadlineMs !== undefined) this.ackDeadlineMs = ackDeadlineMs;
    if (maxMessages !== 0) this.room.maxMessages = maxMessages;
    if (maxBytes !== 0) this.room.maxBytes = maxBytes;
  }

  // Acknowledgements

  private settle({ acknowledge, modify, sequence }: ConsumerFrame): void {
    if (sequence !== 0) this.lastSequence = sequence;
    if (acknowledge.length === 0 && modify.length === 0 && sequence === 0) return;
    const service = this.service!;
    const failed: SettleFailed[] = [];
    const groups = [...groupAckIds(service, acknowledge, undefined, failed).values()];
    if (modify.length > 0) {
      const ids = modify.map(({ ackId }) => ackId);
      groups.push(...groupAckIds(service, ids, (i) => modify[i]!.deadlineMs, failed).values());
    }
    const frame: Confirming = { sequence, open: groups.length };
    this.confirming.push(frame);
    this.addFailures(failed);
    this.countFailures(failed);
    const { clock } = this.services;
    const nowMs = clock.nowMs();
    const takenMs = clock.monotonicMs();
    const deadlineMs = Math.min(this.context.deadlineMs, nowMs + SETTLE_MS);
    const settling = { service, subscription: this.subscription, forwarded: this.context.forwarded, deadlineMs };
    for (const group of groups) {
      const lane = this.lanes[group.partition]!;
      group.tags.forEach(({ position }, i) => {
        const deadlineMs = group.deadlinesMs?.[i] ?? 0;
        if (deadlineMs === 0) lane.settled(position);
        else lane.moved(position, nowMs + deadlineMs);
      });
      settle(this.services, settling, group, (failures) => {
        frame.open--;
        this.countFailures(failures);
        this.requests?.ended(0, group.ackIds.length - failures.length);
        this.requests?.took(clock.monotonicMs() - takenMs, group.ackIds.length);
        this.addFailures(failures);
        this.confirm();
      });
    }
    this.confirm();
  }

  private addFailures(failed: readonly SettleFailed[]): void {
    if (failed.length === 0) return;
    this.failures.push(...failed);
    this.schedule();
  }

  private countFailures(failed: readonly SettleFailed[]): void {
    if (this.requests !== undefined) for (const { failure } of failed) this.requests.failed(failure.reason);
  }

  /** In the order of the frames. */
  private confirm(): void {
    while (this.confirming[0]?.open === 0) {
      const { sequence } = this.confirming.shift()!;
      if (sequence === 0) continue;
      this.confirmed = sequence;
      this.schedule();
    }
    if (this.confirming.length === 0) this.idle?.();
  }

  // Deliveries

  /** Lets a demand wait at every partition where there is none, as far as there is room. */
  private pump(): void {
    if (this.ending || this.over || this.blocked || this.service === undefined) return;
    const { lanes, room } = this;
    const waiting = lanes.filter((lane) => !lane.isPulling);
    for (let i = 0; i < waiting.length; i++) {
      const free = room.maxMessages - room.messages - room.granted;
      const freeBytes = room.maxBytes - room.bytes;
      if (free <= 0 || (freeBytes <= 0 && room.messages > 0)) return this.lookForRoom();
      // Each call begins with another partition, so that where there is little room everybody has a turn.
      const lane = waiting[(this.turn + i) % waiting.length]!;
      const fair = Math.max(1, Math.floor(free / (waiting.length - i)));
      const idle = Math.max(1, Math.floor(room.maxMessages / (8 * lanes.length)));
      const maxMessages = Math.min(PULL_MESSAGES, lane.isIdle && lanes.length > 1 ? Math.min(fair, idle) : fair);
      lane.pull(
        {
          subscription: this.subscription,
          maxMessages,
          maxBytes: Math.max(1, Math.min(PULL_BYTES, freeBytes)),
          ackDeadlineMs: this.ackDeadlineMs,
          waitMs: lanes.length > room.maxMessages ? SWEEP_MS : WAIT_MS,
        },
        this.context.forwarded,
        (pulled) => this.onPulled(lane, pulled),
      );
    }
    this.turn++;
  }

  /**
   * There is no room. What transactions, or others, have acknowledged takes none: that is looked up, again
   * and again while nothing else makes room; at each partition by itself, so that one without a leader does
   * not keep the room that the others have.
   */
  private lookForRoom(): void {
    if (this.over) return;
    for (const lane of this.lanes)
      lane.lookSoon(() => {
        void this.look(lane).finally(() => {
          lane.looked();
          this.pump();
        });
      });
  }

  private async look(lane: PullLane): Promise<void> {
    const ackIds = this.over ? [] : lane.oldest(Math.floor(LOOK_MESSAGES / this.lanes.length));
    if (ackIds.length === 0) return;
    try {
      const request = { participant: this.service!.name, subscription: this.subscription, ackIds };
      const { settledAckIds } = await checkDeliveries(this.services, request, this.context);
      for (const ackId of settledAckIds) lane.settled(parseAckId(ackId)!.tag.position);
    } catch (error) {
      // Their deadlines make room in the end.
      if (!(error instanceof FailureError)) throw error;
    }
  }

  private onPulled(lane: PullLane, pulled: Pulled): void {
    if (this.over) return;
    if (pulled.type === 'failed') this.requests?.failed(pulled.failure.reason);
    else this.requests?.ended(0);
    switch (pulled.type) {
      case 'failed':
        return this.onFailed(lane, pulled.failure);
      case 'delivered': {
        const { messages } = pulled.delivered;
        const { incarnation } = pulled.delivered;
        for (const { position, generation, attempt, encoded } of messages) {
          lane.track({ position, generation, attempt, incarnation }, encoded.length, pulled.deadlineMs);
          this.frameBytes += encoded.length;
        }
        if (messages.length > 0) this.delivered.push(pulled.delivered);
        break;
      }
      case 'forwarded': {
        const deadlineMs = this.services.clock.nowMs() + (this.ackDeadlineMs || DEFAULTS.ackDeadlineMs);
        for (const message of pulled.messages) {
          const { ackId, bytes } = peekReceived(message);
          lane.track(parseAckId(ackId)!.tag, bytes, deadlineMs);
          this.frameBytes += bytes;
          this.forwarded.push(message);
        }
        break;
      }
    }
    if (this.frameBytes >= PULL_BYTES) this.flush();
    else if (this.frameBytes > 0) this.schedule();
    this.pump();
  }

  private onFailed(lane: PullLane, failure: Failure): void {
    const mayPass = surelyNotExecuted(failure) || failure.reason === 'OUTCOME_UNKNOWN' || failure.reason === 'DEADLINE_EXCEEDED';
    if (!mayPass || this.context.forwarded) return this.fail?.(failure);
    lane.rest(RETRY_MS, () => this.pump());
  }

  /** Once all that this turn of the event loop brings is here. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    const { delivered, forwarded, failures, confirmed } = this;
    if (this.over || (this.frameBytes === 0 && delivered.length === 0 && forwarded.length === 0 && failures.length === 0 && confirmed === 0)) return;
    this.delivered = [];
    this.forwarded = [];
    this.failures = [];
    this.confirmed = 0;
    this.frameBytes = 0;
    const taken = this.calls.write(encodeDeliveryFrame({ delivered, forwarded, confirmedSequence: confirmed, failures }));
    if (!taken && !this.blocked) void this.waitForReader();
  }

  /** Asks for nothing more while the consumer does not read. */
  private async waitForReader(): Promise<void> {
    this.blocked = true;
    await this.calls.drained();
    this.blocked = false;
    this.pump();
  }
}

const ONLY_FIRST: Failure = {
  reason: 'INVALID_FIELD',
  message: 'participant and subscription are only in the first message of the stream; open another stream for another subscription',
  violations: [{ field: 'subscription', description: 'must be empty but in the first message of the stream' }],
};
