/**
 * PublishStream: many messages over one stream, in batches both ways. A message costs a place in the arrays
 * of its frame, and no promise, timer or object of its own; answers are runs.
 */

import type { Failure } from '../../kernel/failure.ts';
import type { NewMessage } from '../../kernel/queue/types.ts';
import { MAX_AHEAD } from '../../kernel/sessions/types.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { orEmpty, transactionId, Violations } from '../../runtime/router/rules.ts';
import { reasonOf } from '../../runtime/errors/status.ts';
import type { StreamRequestMeter } from '../../runtime/telemetry/metrics/requests.ts';
import { Answers } from '../../runtime/transport/answers.ts';
import type { CallContext, Duplex } from '../../runtime/transport/service.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { encodePublishAnswer, type PublishedRun, type PublishFrame, type RefusedRun } from '../codec-frames.ts';
import { hasRoom, PublishLane, type Published, type PublishGroup } from './publish-lane.ts';
import { Spread } from './publish.ts';
import { queueOf, type Budget, type QueueServices } from './service.ts';
import { objectName, participant } from './validate.ts';

/** Limits of a stream. */
export const FRAME_MESSAGES = 4096;
export const MAX_OUTSTANDING = 16_384;
/** No more is read while so many bytes of the stream wait to be published. */
const PAUSE_BYTES = 16 * 1024 * 1024;

type Calls = Duplex<PublishFrame, Buffer>;

/** What the sessions of a process share. */
export interface PublishParts {
  readonly services: QueueServices;
  readonly budget: Budget;
  /** Absent: nobody counts. */
  readonly requests: StreamRequestMeter | undefined;
}

export class PublishSession {
  private readonly services: QueueServices;
  private readonly budget: Budget;
  private readonly requests: StreamRequestMeter | undefined;
  private readonly calls: Calls;
  private readonly answers: Answers<Buffer>;
  private readonly context: CallContext;
  private readonly lanes = new Map<number, PublishLane>();
  private service: Service | undefined;
  private topic = '';
  private session = '';
  private spread: Spread | undefined;
  private settledBelow = 1;
  private outstanding = 0;
  private bytes = 0;
  private paused = false;
  private over = false;
  private idle: (() => void) | undefined;
  private published: PublishedRun[] = [];
  private refused: RefusedRun[] = [];
  private scheduled = false;
  /** When the last frame was taken, on the monotonic clock. */
  private takenMs = 0;

  constructor({ services, budget, requests }: PublishParts, calls: Calls, context: CallContext) {
    this.services = services;
    this.budget = budget;
    this.requests = requests;
    this.calls = calls;
    this.answers = new Answers(calls);
    this.context = context;
  }

  /** Ends when the caller has sent its last message and has every answer. */
  async run(): Promise<void> {
    try {
      await this.calls.receive((frame) => this.take(frame));
      if (this.outstanding > 0) await new Promise<void>((resolve) => (this.idle = resolve));
      this.flush();
      await this.calls.drained();
    } catch (error) {
      this.requests?.failed(reasonOf(error), this.outstanding);
      throw error;
    } finally {
      this.over = true;
    }
  }

  private take(frame: PublishFrame): void {
    if (this.requests !== undefined) this.takenMs = this.services.clock.monotonicMs();
    this.open(frame);
    this.settledBelow = Math.max(this.settledBelow, frame.settledBelow);
    const { sequences, messages } = frame;
    if (messages.length > FRAME_MESSAGES)
      throw new FailureError({ reason: 'LIMIT_EXCEEDED', message: `a message of the stream has ${messages.length} calls, the limit is ${FRAME_MESSAGES}` });
    const refusal = this.refusalOf(frame);
    const groups = new Map<number, PublishGroup>();
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]!;
      const failure = refusal ?? ('reason' in message ? message : this.wrongSequence(sequences[i]!));
      if (failure !== undefined || 'reason' in message) this.refuse(sequences[i]!, failure ?? (message as Failure), this.takenMs);
      else this.add(groups, message, sequences[i]!);
    }
    for (const [partition, group] of groups) this.send(partition, group);
    if (this.bytes >= PAUSE_BYTES && !this.paused) {
      this.paused = true;
      this.calls.pause();
    }
  }

  /** The first frame says where to. @throws FailureError */
  private open(frame: PublishFrame): void {
    if (this.service !== undefined) {
      if (frame.participant !== '' || frame.topic !== '' || frame.session !== '') throw new FailureError(ONLY_FIRST);
      return;
    }
    const found = new Violations();
    participant(frame.participant, 'participant', found);
    objectName(frame.topic, 'topic', found);
    orEmpty(transactionId)(frame.session, 'session', found);
    if (found.failure !== undefined) throw new FailureError(found.failure);
    this.service = queueOf(this.services, frame.participant);
    this.topic = frame.topic;
    this.session = frame.session;
    this.spread = new Spread(this.service, frame.session);
  }

  /** Why nothing of the frame can be taken now. */
  private refusalOf({ messages, bytes }: PublishFrame): Failure | undefined {
    if (this.outstanding + messages.length > MAX_OUTSTANDING) return TOO_MANY;
    const full = this.services.router.refuseWork();
    if (full !== undefined) return full;
    if (!this.budget.take(bytes)) return this.budget.refusal;
    // Given back with each group that is through.
    this.budget.give(bytes);
    return undefined;
  }

  private wrongSequence(sequence: number): Failure | undefined {
    if (this.session === '') return undefined;
    if (sequence < 1) return invalidSequence(sequence, 'must be at least 1 with a session');
    if (sequence < this.settledBelow) return invalidSequence(sequence, `is below settled_below, ${this.settledBelow}`);
    if (sequence - this.settledBelow > MAX_AHEAD) return invalidSequence(sequence, `is more than ${MAX_AHEAD} above settled_below, ${this.settledBelow}`);
    return undefined;
  }

  private add(groups: Map<number, PublishGroup>, message: NewMessage, sequence: number): void {
    const partition = this.spread!.partitionOf(message, sequence);
    const size = message.encoded.length;
    let group = groups.get(partition);
    if (group !== undefined && !hasRoom(group, size)) {
      this.send(partition, group);
      group = undefined;
    }
    if (group === undefined) groups.set(partition, (group = this.newGroup(partition)));
    group.sequences.push(sequence);
    group.messages.push(message);
    group.bytes += size;
  }

  private newGroup(partition: number): PublishGroup {
    const { takenMs } = this;
    const group: PublishGroup = { sequences: [], messages: [], bytes: 0, done: (result) => this.onDone(group, partition, result, takenMs) };
    return group;
  }

  private send(partition: number, group: PublishGroup): void {
    this.outstanding += group.messages.length;
    this.bytes += group.bytes;
    this.budget.take(group.bytes);
    let lane = this.lanes.get(partition);
    if (lane === undefined) {
      const { traceparent, forwarded, deadlineMs, signal } = this.context;
      const { topic, session } = this;
      lane = new PublishLane(this.services, { service: this.service!, partition, topic, session, traceparent, forwarded, deadlineMs, signal });
      this.lanes.set(partition, lane);
    }
    lane.publish(group, this.settledBelow);
  }

  private onDone({ sequences, bytes }: PublishGroup, partition: number, result: Published | Failure, takenMs: number): void {
    this.outstanding -= sequences.length;
    this.bytes -= bytes;
    this.budget.give(bytes);
    if (!this.over) {
      for (let i = 0; i < sequences.length; i++) {
        const failure = 'reason' in result ? result : result.failures?.get(i);
        if (failure !== undefined) this.refuse(sequences[i]!, failure, takenMs);
        else if (!('reason' in result)) this.confirm(sequences[i]!, partition, result.incarnation, result.positions[i]!);
      }
      const published = 'reason' in result ? 0 : sequences.length - (result.failures?.size ?? 0);
      if (published > 0) this.count(undefined, published, takenMs);
      if (this.paused && this.bytes < PAUSE_BYTES / 2) {
        this.paused = false;
        this.calls.resume();
      }
    }
    if (this.outstanding === 0) this.idle?.();
  }

  private confirm(sequence: number, partition: number, incarnation: number, position: number): void {
    const last = this.published.at(-1);
    if (
      last !== undefined &&
      last.sequence + last.count === sequence &&
      last.position + last.count === position &&
      last.partition === partition &&
      last.incarnation === incarnation
    ) last.count++;
    else this.published.push({ sequence, count: 1, partition, incarnation, position });
    this.schedule();
  }

  private refuse(sequence: number, failure: Failure, takenMs: number): void {
    this.count(failure, 1, takenMs);
    const last = this.refused.at(-1);
    if (last !== undefined && last.failure === failure && last.sequence + last.count === sequence) last.count++;
    else this.refused.push({ sequence, count: 1, failure });
    this.schedule();
  }

  private count(failure: Failure | undefined, times: number, takenMs: number): void {
    const { requests } = this;
    if (requests === undefined) return;
    if (failure === undefined) requests.ended(0, times);
    else requests.failed(failure.reason, times);
    requests.took(this.services.clock.monotonicMs() - takenMs, times);
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
    const { published, refused } = this;
    if ((published.length === 0 && refused.length === 0) || this.over) return;
    this.published = [];
    this.refused = [];
    this.answers.send(encodePublishAnswer({ published, refused }));
  }
}

const ONLY_FIRST: Failure = {
  reason: 'INVALID_FIELD',
  message: 'participant, topic and session are only in the first message of the stream; open another stream for another topic',
  violations: [{ field: 'topic', description: 'must be empty but in the first message of the stream' }],
};

const TOO_MANY: Failure = {
  reason: 'OVERLOADED',
  message: `${MAX_OUTSTANDING} messages of this stream may be unanswered; wait for answers, then send these again`,
  retryAfterMs: 50,
};

function invalidSequence(sequence: number, description: string): Failure {
  return { reason: 'INVALID_FIELD', message: `sequence ${sequence} ${description}`, violations: [{ field: 'sequence', description }] };
}
