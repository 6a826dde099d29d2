import type { Message as WireMessage, PublishCall as WireCall } from '../../gen/txmesh/queue/v1/queue.ts';
import { TokenCall, type TokenCallOptions } from '../token-call.ts';

/** The publish of one message that somebody waits for. Its result is the message's id. */
export class PublishCall extends TokenCall<WireCall, string> {
  readonly message: WireMessage;

  constructor(message: WireMessage, options: TokenCallOptions) {
    super(options);
    this.message = message;
  }

  /** Ordering key; empty: none. */
  get key(): string {
    return this.message.orderingKey;
  }

  protected override wire(): WireCall {
    return { sequence: this.sequence, message: this.message };
  }
}
