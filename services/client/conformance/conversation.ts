/** A coordinator's side of the participant protocol, message by message, over either contract. */

import * as grpc from '@grpc/grpc-js';
import {
  ParticipantServiceService as methods,
  Vote as WireVote,
  type BranchId as WireBranch,
  type ExchangeRequest,
  type ExchangeResponse,
  type PrepareRequest,
  type PrepareResponse,
  type ToCoordinator,
  type ToParticipant,
} from '../../gen/txmesh/participant/v1/participant.ts';
import type { Attempt } from '../../kernel/attempt.ts';
import { toDuration, toTimestamp } from '../../runtime/transport/time.ts';
import type { Content } from '../operations.ts';
import { keyOf } from '../participant/branch-key.ts';
import type { Branch } from '../participant/resource-manager.ts';

/** How long an answer is waited for, milliseconds. */
const ANSWER_MS = 10_000;
const FOREIGN_CLUSTER = '00000000-0000-4000-8000-000000000000';
const VOTES = { [WireVote.YES]: 'yes', [WireVote.NO]: 'no', [WireVote.READ_ONLY]: 'readOnly' } as const;

/** Whom to talk to, as whom. */
export interface Target {
  readonly address: string;
  readonly participant: string;
  readonly clusterId: string;
  readonly coordinatorPartition: number;
}

/** A vote, or the name of the gRPC status code of an error. */
export type PrepareAnswer = 'yes' | 'no' | 'readOnly' | (string & {});

export interface Conversation {
  prepare(branch: Branch, operations: readonly Content[]): Promise<PrepareAnswer>;
  /** Prepares an attempt that is over: whatever the answer is, if there is one, it has been handled. */
  prepareIgnoringAnswer(branch: Branch, operations: readonly Content[]): Promise<void>;
  prepareFromForeignCluster(branch: Branch, operations: readonly Content[]): Promise<PrepareAnswer>;
  /** Rejects if it is not acknowledged. */
  commit(branch: Branch): Promise<void>;
  abort(branch: Branch): Promise<void>;
  /** Lets the participant know the low-water mark. */
  mark(lowWaterMark: Attempt): Promise<void>;
  listPrepared(): Promise<{ readonly transactionId: string; readonly attempt: Attempt }[]>;
}

export class Coordinator {
  private readonly target: Target;
  private readonly client: grpc.Client;
  private readonly streams: Stream[] = [];

  constructor(target: Target) {
    this.target = target;
    this.client = new grpc.Client(target.address, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  }

  overPlainCalls(): Conversation {
    return new PlainCalls(this.client, this.target);
  }

  overStream(): Conversation {
    return new OverStream(this.client, this.target, this.streams);
  }

  close(): void {
    for (const stream of this.streams) stream.close();
    this.client.close();
  }
}

class PlainCalls implements Conversation {
  protected readonly client: grpc.Client;
  protected readonly target: Target;
  protected lowWaterMark: Attempt | undefined;

  constructor(client: grpc.Client, target: Target) {
    this.client = client;
    this.target = target;
  }

  prepare(branch: Branch, operations: readonly Content[]): Promise<PrepareAnswer> {
    return this.prepareIn(this.target.clusterId, branch, operations);
  }

  async prepareIgnoringAnswer(branch: Branch, operations: readonly Content[]): Promise<void> {
    await this.prepare(branch, operations);
  }

  prepareFromForeignCluster(branch: Branch, operations: readonly Content[]): Promise<PrepareAnswer> {
    return this.prepareIn(FOREIGN_CLUSTER, branch, operations);
  }

  async commit(branch: Branch): Promise<void> {
    await this.call(methods.commit, { branch: wire(branch, this.target.clusterId), traceparent: '', lowWaterMark: this.lowWaterMark });
  }

  async abort(branch: Branch): Promise<void> {
    await this.call(methods.abort, { branch: wire(branch, this.target.clusterId), traceparent: '', lowWaterMark: this.lowWaterMark });
  }

  mark(lowWaterMark: Attempt): Promise<void> {
    this.lowWaterMark = lowWaterMark; // Goes along with every call.
    return Promise.resolve();
  }

  async listPrepared(): Promise<{ transactionId: string; attempt: Attempt }[]> {
    const found: { transactionId: string; attempt: Attempt }[] = [];
    let pageToken = '';
    do {
      const page = await this.call(methods.listPrepared, { participant: this.target.participant, pageSize: 2, pageToken });
      for (const { branch } of page.branches) found.push({ transactionId: branch!.transactionId, attempt: branch!.attempt! });
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return found;
  }

  private async prepareIn(clusterId: string, branch: Branch, operations: readonly Content[]): Promise<PrepareAnswer> {
    const request = { ...prepareRequest(operations), branch: wire(branch, clusterId), lowWaterMark: this.lowWaterMark };
    try {
      return answerOf(await this.call(methods.prepare, request));
    } catch (error) {
      return grpc.status[(error as grpc.ServiceError).code]!;
    }
  }

  private call<Request, Response>(
    method: { path: string; requestSerialize: (value: Request) => Buffer; responseDeserialize: (bytes: Buffer) => Response },
    request: Request,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + ANSWER_MS, waitForReady: true };
      const metadata = new grpc.Metadata({ waitForReady: true });
      this.client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, request, metadata, options, (error, response) =>
        error === null ? resolve(response!) : reject(error),
      );
    });
  }
}

class OverStream extends PlainCalls {
  private readonly streams: Stream[];
  private current: Stream | undefined;

  constructor(client: grpc.Client, target: Target, streams: Stream[]) {
    super(client, target);
    this.streams = streams;
  }

  override async prepare(branch: Branch, operations: readonly Content[]): Promise<PrepareAnswer> {
    const content = await this.stream().ask(branch, { $case: 'prepare', value: prepareRequest(operations) });
    if (content?.$case === 'vote') return answerOf(content.value);
    if (content?.$case === 'undelivered') return grpc.status[content.value.code]!;
    return `an answer of type ${content?.$case}`;
  }

  override async prepareIgnoringAnswer(branch: Branch, operations: readonly Content[]): Promise<void> {
    const stream = this.stream();
    stream.send([message(branch, { $case: 'prepare', value: prepareRequest(operations) })]);
    await this.handled(branch);
  }

  override async prepareFromForeignCluster(branch: Branch, operations: readonly Content[]): Promise<PrepareAnswer> {
    const stream = this.open({ ...this.target, clusterId: FOREIGN_CLUSTER });
    stream.send([message(branch, { $case: 'prepare', value: prepareRequest(operations) })]);
    return stream.endedWith();
  }

  override async commit(branch: Branch): Promise<void> {
    const content = await this.stream().ask(branch, { $case: 'commit', value: { traceparent: '' } });
    if (content?.$case !== 'acknowledgement') throw new Error(`commit was answered with ${content?.$case}`);
  }

  /** Over the stream an abort need not be acknowledged: the coordinator has nothing to remember (T2). */
  override async abort(branch: Branch): Promise<void> {
    this.stream().send([message(branch, { $case: 'abort', value: { traceparent: '' } })]);
    await this.handled(branch);
  }

  override mark(lowWaterMark: Attempt): Promise<void> {
    const { coordinatorPartition } = this.target;
    this.stream().send([], [{ coordinatorPartition, lowWaterMark }]);
    return Promise.resolve();
  }

  /**
   * Resolves when all that was said about the transaction is handled: that happens in order, and the
   * commit of an attempt so low that nobody can hold it is acknowledged.
   */
  private handled(branch: Branch): Promise<void> {
    return this.commit({ ...branch, attempt: { epoch: 1, counter: 1 } });
  }

  private stream(): Stream {
    if (this.current === undefined || this.current.ended) this.current = this.open(this.target);
    return this.current;
  }

  private open(target: Target): Stream {
    const stream = new Stream(this.client, target);
    this.streams.push(stream);
    return stream;
  }
}

class Stream {
  /** Resolves with the status code when the stream is over. */
  readonly over: Promise<grpc.status>;
  ended = false;
  private readonly call: grpc.ClientDuplexStream<ExchangeRequest, ExchangeResponse>;
  private readonly clusterId: string;
  private readonly waiting = new Map<string, (content: ToCoordinator['content']) => void>();

  constructor(client: grpc.Client, { clusterId }: Target) {
    const { path, requestSerialize, responseDeserialize } = methods.exchange;
    this.clusterId = clusterId;
    this.call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new grpc.Metadata({ waitForReady: true }));
    this.over = new Promise((resolve) =>
      this.call.on('status', ({ code }: grpc.StatusObject) => {
        this.ended = true;
        resolve(code);
      }),
    );
    this.call.on('error', () => undefined); // Its status is what counts.
    this.call.on('data', ({ messages }: ExchangeResponse) => {
      for (const { branch, content } of messages) {
        if (content?.$case === 'inquiry' || content?.$case === 'enlistment') continue;
        const { attempt, ...rest } = branch!;
        const key = keyOf({ ...rest, attempt: attempt! });
        this.waiting.get(key)?.(content);
        this.waiting.delete(key);
      }
    });
  }

  send(messages: ToParticipant[], marks: ExchangeRequest['marks'] = []): void {
    this.call.write({ clusterId: this.clusterId, marks, messages });
  }

  /** Sends, and resolves with what comes back about the same branch. */
  ask(branch: Branch, content: ToParticipant['content']): Promise<ToCoordinator['content']> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no answer to ${content?.$case} in ${ANSWER_MS} ms`)), ANSWER_MS);
      this.waiting.set(keyOf(branch), (answer) => {
        clearTimeout(late);
        resolve(answer);
      });
      void this.over.then((code) => {
        clearTimeout(late);
        reject(new Error(`the stream ended with ${grpc.status[code]}`));
      });
      this.send([message(branch, content)]);
    });
  }

  /** The name of the status that the participant ends it with. */
  endedWith(): Promise<string> {
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(`no end of the stream in ${ANSWER_MS} ms`), ANSWER_MS);
      void this.over.then((code) => {
        clearTimeout(late);
        resolve(grpc.status[code]!);
      });
    });
  }

  close(): void {
    this.call.cancel();
  }
}

function message(branch: Branch, content: ToParticipant['content']): ToParticipant {
  return { branch: wire(branch, ''), content };
}

function wire(branch: Branch, clusterId: string): WireBranch {
  return { clusterId, ...branch };
}

function prepareRequest(operations: readonly Content[]): PrepareRequest {
  return {
    branch: undefined,
    operations: operations as Content[],
    firstTryTime: toTimestamp(Date.now()),
    remaining: toDuration(ANSWER_MS),
    readOnly: false,
    workspaceAttempt: undefined,
    enlistedEpoch: 0,
    traceparent: '',
    lowWaterMark: undefined,
  };
}

function answerOf({ vote }: PrepareResponse): PrepareAnswer {
  return VOTES[vote as keyof typeof VOTES] ?? `the unknown vote ${vote}`;
}
