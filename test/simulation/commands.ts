/** What goes to the kernels and comes back, of either kind. */

import type { CoordinatorKernel } from '../../services/kernel/coordinator/kernel.ts';
import type * as coordinator from '../../services/kernel/coordinator/types.ts';
import type { KeyValueTypes } from '../../services/kernel/keyvalue/types.ts';
import type { ParticipantKernel } from '../../services/kernel/participant/kernel.ts';
import type { ParticipantCommand, ParticipantReply } from '../../services/kernel/participant/types.ts';

export type KeyValueKernel = ParticipantKernel<KeyValueTypes>;
export type AnyKernel = CoordinatorKernel | KeyValueKernel;
export type AnyReply = coordinator.Reply | ParticipantReply<KeyValueTypes>;
export type AnyCommand = coordinator.Command | ParticipantCommand<KeyValueTypes>;

/** Makes a command at its arrival: by the replica's wall clock, and with whom to answer. */
export type Build = (nowMs: number, origin: object) => AnyCommand;

/** What a client hears, or that it hears nothing. */
export type Answer = AnyReply | { readonly type: 'unanswered' };
