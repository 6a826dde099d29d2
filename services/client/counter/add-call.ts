import type { SessionAdd } from '../../gen/txmesh/counter/v1/counter.ts';
import { TokenCall, type TokenCallOptions } from '../token-call.ts';

/** An add on its way, with what its frame needs to know beside it. */
export interface AddWire extends SessionAdd {
  readonly deadlineMs: number;
  readonly traceparent: string;
}

/** An add that somebody waits for. Its result is the value after it, which only strong counters tell. */
export class AddCall extends TokenCall<AddWire, bigint | undefined> {
  readonly counter: string;
  readonly amount: bigint;

  constructor(counter: string, amount: bigint, options: TokenCallOptions) {
    super(options);
    this.counter = counter;
    this.amount = amount;
  }

  protected override wire(): AddWire {
    const { sequence, counter, amount, deadlineMs, span } = this;
    return { sequence, counter, amount, deadlineMs, traceparent: span?.traceparent ?? '' };
  }
}
