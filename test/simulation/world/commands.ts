/** What goes to the kernels and comes back, of every kind. */

import type * as coordinator from '../../../services/kernel/coordinator/types.ts';
import type { CounterTypes } from '../../../services/kernel/counter/types.ts';
import type { QueueTypes } from '../../../services/kernel/queue/types.ts';
import type { Failure } from '../../../services/kernel/failure.ts';
import type { Kernel } from '../../../services/kernel/kernel.ts';
import type { KeyValueTypes } from '../../../services/kernel/keyvalue/types.ts';
import type {
  ParticipantCommand,
  ParticipantMessage,
  ParticipantRecord,
  ParticipantReply,
  ResourceTypes,
} from '../../../services/kernel/participant/types.ts';
import type { Term } from '../../../services/runtime/partition/term.ts';

type KindTypes = KeyValueTypes | CounterTypes | QueueTypes;

/** Of whichever kind of participant. */
export interface AnyTypes extends ResourceTypes {
  readonly operation: KindTypes['operation'];
  readonly effect: KindTypes['effect'];
  readonly query: KindTypes['query'];
  readonly answer: KindTypes['answer'];
  readonly request: KindTypes['request'];
  readonly response: KindTypes['response'];
  readonly record: KindTypes['record'];
}

export type AnyReply = coordinator.Reply | ParticipantReply<AnyTypes>;
export type AnyCommand = coordinator.Command | ParticipantCommand<AnyTypes>;
export type AnyRecord = coordinator.Stored | ParticipantRecord<AnyTypes>;
export type AnyMessage = coordinator.Message | ParticipantMessage;
export type AnyKernel = Kernel<AnyCommand, AnyRecord, AnyReply, AnyMessage>;
export type AnyTerm = Term<AnyCommand, AnyRecord, AnyReply, AnyMessage>;

/** Makes a command at its arrival: by the replica's wall clock, and with whom to answer. */
export type Build = (nowMs: number, origin: object) => AnyCommand;

/** Of an answer: by whom and when it was let out. */
export interface Leaving {
  readonly machine: string;
  /** Of the term that answers. */
  readonly epoch: number;
  /** True times: when the batch was begun that took the request, and the one that answers it; when that left. */
  readonly steppedMs: number;
  readonly gatheredMs: number;
  readonly leftMs: number;
  /** Wall time that the batch which answers went by. */
  readonly nowMs: number;
}

/** Whoever asks, by way of the replica that leads. */
export interface Caller {
  onReply(reply: AnyReply, leaving: Leaving): void;
  onFailure(failure: Failure): void;
}

/** What a client hears, or that it hears nothing. */
export type Answer = AnyReply | { readonly type: 'unanswered' };
