/** ParticipantService.Exchange for a resource manager: the same as the plain calls, many in a frame. */

import {
  HeuristicOutcome,
  type ExchangeRequest,
  type ExchangeResponse,
  type ToCoordinator,
  type ToParticipant,
} from '../../gen/txmesh/participant/v1/participant.ts';
import type { Failure } from '../../kernel/failure.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { failureToStatus } from '../../runtime/errors/status.ts';
import type { Duplex, DuplexHandler } from '../../runtime/transport/service.ts';
import { branchFrom, demandCluster, markFrom, toWire, type Identity } from './branch-codec.ts';
import type { BranchKeeper } from './branch-keeper.ts';
import { prepare, toResponse } from './prepare-codec.ts';
import type { Branch } from './resource-manager.ts';
import { inServerSpan } from './server-span.ts';

/** Most messages of one stream that are being handled; more are refused. */
const MAX_UNDER_WAY = 4_096;

type Call = Duplex<ExchangeRequest, ExchangeResponse>;

export function exchangeHandler(keeper: BranchKeeper, identity: () => Identity): DuplexHandler<ExchangeRequest, ExchangeResponse> {
  return async (call, { signal }) => {
    const known = identity();
    const answers = new Answers(call, known.clusterId);
    // An error in a frame ends the stream.
    let fail: (error: unknown) => void = () => undefined;
    const failed = new Promise<never>((_, reject) => (fail = reject));
    let underWay = 0;
    const received = call.receive((frame) => {
      try {
        demandCluster(known, frame.clusterId);
        for (const { coordinatorPartition, lowWaterMark } of frame.marks) {
          const mark = markFrom(coordinatorPartition, lowWaterMark);
          if (mark !== undefined) keeper.takeMark(mark);
        }
      } catch (error) {
        return fail(error);
      }
      for (const message of frame.messages) {
        if (underWay >= MAX_UNDER_WAY) {
          answers.undelivered(message, { reason: 'OVERLOADED', message: `${MAX_UNDER_WAY} messages are being handled`, retryAfterMs: 100 });
          continue;
        }
        underWay++;
        handle(keeper, known, message, answers, signal).finally(() => underWay--).catch(fail);
      }
    });
    await Promise.race([received, failed]);
  };
}

async function handle(keeper: BranchKeeper, known: Identity, message: ToParticipant, answers: Answers, signal: AbortSignal): Promise<void> {
  const { content } = message;
  let branch: Branch;
  try {
    branch = branchFrom(known, message.branch);
  } catch (error) {
    if (error instanceof FailureError) return answers.undelivered(message, error.failure);
    throw error;
  }
  switch (content?.$case) {
    case 'prepare': {
      const answer = await prepare(keeper, branch, content.value, signal);
      return answers.send(branch, { $case: 'vote', value: toResponse(answer) });
    }
    case 'commit':
    case 'abort': {
      const { $case, value } = content;
      try {
        await inServerSpan(`${$case} ${branch.participant}`, value.traceparent, () => keeper[$case](branch));
      } catch {
        return; // Not acknowledged, so the coordinator says it again.
      }
      return answers.send(branch, { $case: 'acknowledgement', value: { heuristic: HeuristicOutcome.UNSPECIFIED } });
    }
    case 'pending':
    case 'enlistAnswer':
    case 'forget':
    case undefined:
      return; // Answers to what this participant does not ask over the stream.
  }
}

/** All answers of an event-loop turn go out in one frame. */
class Answers {
  private readonly call: Call;
  private readonly clusterId: string;
  private messages: ToCoordinator[] = [];

  constructor(call: Call, clusterId: string) {
    this.call = call;
    this.clusterId = clusterId;
  }

  send(branch: Branch, content: ToCoordinator['content']): void {
    this.push({ branch: toWire(branch, ''), content });
  }

  undelivered({ branch }: ToParticipant, failure: Failure): void {
    this.push({ branch, content: { $case: 'undelivered', value: failureToStatus(failure) } });
  }

  private push(message: ToCoordinator): void {
    this.messages.push(message);
    if (this.messages.length > 1) return;
    setImmediate(() => {
      const { messages, clusterId } = this;
      this.messages = [];
      this.call.write({ clusterId, messages });
    });
  }
}
