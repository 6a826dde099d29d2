/** Calls of QueueService for tests, with everything that may be left out left out. */

import type * as grpc from '@grpc/grpc-js';
import {
  Message,
  QueueServiceService as methods,
  Subscription,
  Topic,
  type PublishStreamRequest,
  type PublishStreamResponse,
  type ReceivedMessage,
  type StreamingPullRequest,
  type StreamingPullResponse,
} from '../../../gen/txmesh/queue/v1/queue.ts';
import type { Node } from '../../../mesh.ts';
import type { Meshed } from '../../../runtime/router/testing/nodes.ts';
import type { Method } from '../../../runtime/transport/channels.ts';

const NOTHING = new Uint8Array(0);

export const topicOf = (name: string, more: Partial<Topic> = {}): Topic => ({ ...Topic.decode(NOTHING), name, ...more });
export const subscriptionOf = (name: string, topic: string, more: Partial<Subscription> = {}): Subscription => ({
  ...Subscription.decode(NOTHING),
  name,
  topic,
  ...more,
});
export const messageOf = (text: string, more: Partial<Message> = {}): Message => ({ ...Message.decode(NOTHING), data: Buffer.from(text), ...more });
export const textOf = ({ message }: ReceivedMessage): string => Buffer.from(message!.data).toString();

/** A queue client at one node. */
export class QueueClient {
  private readonly mesh: Meshed;
  private readonly node: Node | undefined;
  private readonly streams: grpc.ClientDuplexStream<never, never>[] = [];

  constructor(mesh: Meshed, node?: Node) {
    this.mesh = mesh;
    this.node = node;
  }

  call<Request extends object, Response>(method: Method<Request, Response>, request: Partial<Request>): Promise<Response> {
    // Whatever a request of this type has: a decoded empty one.
    const empty = (method as unknown as { requestDeserialize(bytes: Buffer): Request }).requestDeserialize(Buffer.alloc(0));
    return this.mesh.call(method, { ...empty, ...request }, this.node);
  }

  async create(topic: Topic, ...subscriptions: Subscription[]): Promise<void> {
    await this.call(methods.createTopic, { topic });
    for (const subscription of subscriptions) await this.call(methods.createSubscription, { subscription });
  }

  async publish(topic: string, ...messages: (Message | string)[]): Promise<string[]> {
    const all = messages.map((each) => (typeof each === 'string' ? messageOf(each) : each));
    const { messageIds } = await this.call(methods.publish, { topic, messages: all });
    return messageIds;
  }

  async pull(subscription: string, maxMessages = 100, waitS = 0): Promise<ReceivedMessage[]> {
    const wait = { seconds: BigInt(waitS), nanos: 0 };
    const { messages } = await this.call(methods.pull, { subscription, maxMessages, wait });
    return messages;
  }

  async acknowledge(subscription: string, messages: readonly ReceivedMessage[]): Promise<string[]> {
    const { failures } = await this.call(methods.acknowledge, { subscription, ackIds: messages.map(({ ackId }) => ackId) });
    return failures.map(({ status }) => status!.message);
  }

  publishStream(): grpc.ClientDuplexStream<PublishStreamRequest, PublishStreamResponse> {
    return this.stream(methods.publishStream);
  }

  streamingPull(): grpc.ClientDuplexStream<StreamingPullRequest, StreamingPullResponse> {
    return this.stream(methods.streamingPull);
  }

  close(): void {
    for (const stream of this.streams) stream.cancel();
  }

  private stream<Request, Response>(method: Method<Request, Response>): grpc.ClientDuplexStream<Request, Response> {
    const node = this.node ?? this.mesh.nodes[0]!;
    const stream = this.mesh.channels.duplex(node.address, method);
    stream.on('error', () => undefined);
    this.streams.push(stream as unknown as grpc.ClientDuplexStream<never, never>);
    return stream;
  }
}
