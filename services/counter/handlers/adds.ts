/** Add and BatchAdd. */

import {
  type AddRequest,
  type AddResponse,
  type AddResult,
  type BatchAddRequest,
  type BatchAddResponse,
  CounterServiceService as methods,
} from '../../gen/txmesh/counter/v1/counter.ts';
import { homeOf } from '../../kernel/counter/placement.ts';
import type { Failure } from '../../kernel/failure.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { failureToStatus } from '../../runtime/errors/status.ts';
import { workspaceOf } from '../../runtime/participant/handlers/workspace.ts';
import { stageWork } from '../../runtime/participant/local.ts';
import { validate } from '../../runtime/participant/service.ts';
import { cancelled, deadlinePassed } from '../../runtime/router/call.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import type { CountedOrFailed, PendingAdd } from './chunk.ts';
import type { Dispatcher } from './dispatch.ts';
import { OwnSession } from './own-session.ts';
import { counterService, type CounterServices } from './service.ts';
import { addRequest, batchAddRequest } from './validate.ts';

interface Sent {
  readonly service: Service;
  readonly session: string;
  readonly settledBelow: number;
  readonly adds: readonly PendingAdd[];
}

export class AddHandlers {
  private readonly services: CounterServices;
  private readonly dispatcher: Dispatcher;
  private readonly own: OwnSession;

  constructor(services: CounterServices, dispatcher: Dispatcher) {
    this.services = services;
    this.dispatcher = dispatcher;
    this.own = new OwnSession(services.newId);
  }

  async add(request: AddRequest, context: CallContext): Promise<AddResponse> {
    validate(addRequest, request);
    this.services.router.requireRoom();
    const { participant, counter, amount, transaction } = request;
    const service = counterService(this.services, participant);
    if (transaction !== undefined) {
      const partition = homeOf(counter, service.partitions);
      const branch = await workspaceOf(this.services, transaction, service.name, partition);
      const route = { service: service.name, partition, method: methods.add, request, context, changes: true };
      return this.services.router.unary(route, async (term) => {
        await stageWork(this.services, term, branch, [{ type: 'add', name: counter, amount }], context);
        return { value: undefined };
      });
    }
    const { token } = request;
    const adds = [{ counter, amount, sequence: token?.sequence ?? 0 }];
    const [outcome] = token === undefined ? await this.sendOwn(service, adds, context) : await this.send({ service, ...token, adds }, context);
    if (outcome!.type === 'failed') throw new FailureError(outcome!.failure);
    return { value: outcome!.value };
  }

  async batchAdd(request: BatchAddRequest, context: CallContext): Promise<BatchAddResponse> {
    validate(batchAddRequest, request);
    this.services.router.requireRoom();
    const service = counterService(this.services, request.participant);
    const adds = namedAdds(request.adds);
    const outcomes = request.session === '' ? await this.sendOwn(service, adds, context) : await this.send({ service, ...request, adds }, context);
    return { results: adds.map(({ sequence }, i) => toResult(sequence, outcomes[i]!)) };
  }

  /**
   * With tokens of this process: the caller's sequences only tell the adds apart. Where such a session
   * is not known any more, nothing was done in it under a new token, and a new session does.
   */
  private async sendOwn(service: Service, adds: readonly PendingAdd[], context: CallContext): Promise<CountedOrFailed[]> {
    const outcomes = await this.tryOwn(service, adds, context);
    const again: number[] = [];
    outcomes.forEach((outcome, i) => {
      if (outcome.type === 'failed' && outcome.failure.reason === 'SESSION_EXPIRED') again.push(i);
    });
    if (again.length === 0) return outcomes;
    this.own.renew();
    const renewed = await this.tryOwn(service, again.map((place) => adds[place]!), context);
    again.forEach((place, i) => (outcomes[place] = renewed[i]!));
    return outcomes;
  }

  private async tryOwn(service: Service, adds: readonly PendingAdd[], context: CallContext): Promise<CountedOrFailed[]> {
    const nowMs = this.services.clock.nowMs();
    const sent: { readonly batch: Sent & { adds: PendingAdd[] }; readonly places: number[] }[] = [];
    const taken = adds.map(() => this.own.take(nowMs));
    adds.forEach((add, i) => {
      const { session, sequence, settledBelow } = taken[i]!;
      let part = sent.at(-1);
      if (part?.batch.session !== session) sent.push((part = { batch: { service, session, settledBelow, adds: [] }, places: [] }));
      part.batch.adds.push({ ...add, sequence });
      part.places.push(i);
    });
    try {
      const outcomes: CountedOrFailed[] = [];
      await Promise.all(
        sent.map(async ({ batch, places }) => {
          const results = await this.send(batch, context);
          places.forEach((place, i) => (outcomes[place] = results[i]!));
        }),
      );
      return outcomes;
    } finally {
      for (const token of taken) token.settle();
    }
  }

  /** What became of each, in their order. The caller's deadline or cancellation ends the waiting. */
  private send({ service, session, settledBelow, adds }: Sent, context: CallContext): Promise<CountedOrFailed[]> {
    const { clock } = this.services;
    return new Promise((resolve, reject) => {
      const outcomes = new Map<PendingAdd, CountedOrFailed>();
      const giveUp = (failure: Failure): void => {
        done();
        reject(new FailureError(failure));
      };
      const abandon = (): void => giveUp(cancelled(true));
      const timer = context.deadlineMs === Infinity ? undefined : clock.setTimer(context.deadlineMs - clock.nowMs(), () => giveUp(deadlinePassed(true)));
      const done = (): void => {
        timer?.cancel();
        context.signal.removeEventListener('abort', abandon);
      };
      context.signal.addEventListener('abort', abandon);
      const onOutcome = (add: PendingAdd, outcome: CountedOrFailed): void => {
        outcomes.set(add, outcome);
        if (outcomes.size < adds.length) return;
        done();
        resolve(adds.map((each) => outcomes.get(each)!));
      };
      this.dispatcher.send({ service, session, settledBelow, context, onOutcome }, adds);
    });
  }
}

/** Adds that leave the name out are of the counter before. */
export function namedAdds(adds: BatchAddRequest['adds']): PendingAdd[] {
  let counter = '';
  return adds.map((add) => {
    if (add.counter !== '') counter = add.counter;
    return { counter, sequence: add.sequence, amount: add.amount };
  });
}

export function toResult(sequence: number, outcome: CountedOrFailed): AddResult {
  return outcome.type === 'counted'
    ? { sequence, value: outcome.value, error: undefined }
    : { sequence, value: undefined, error: failureToStatus(outcome.failure) };
}
