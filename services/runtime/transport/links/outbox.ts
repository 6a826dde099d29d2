/** Messages that wait for the next frame: control before work, each bounded in number and bytes by itself, so that work never keeps control out. */

import type { ToCoordinator, ToParticipant } from '../../../kernel/messages.ts';

/** What a message takes beside its operations, roughly; frames stay well below the receiver's limit. */
const MESSAGE_BYTES = 256;

export interface OutboxLimits {
  readonly bufferMessages: number;
  readonly bufferBytes: number;
  readonly frameBytes: number;
}

export class Outbox<Message extends ToParticipant | ToCoordinator> {
  private readonly limits: OutboxLimits;
  private control: Message[] = [];
  private work: Message[] = [];
  private controlBytes = 0;
  private workBytes = 0;

  constructor(limits: OutboxLimits) {
    this.limits = limits;
  }

  get length(): number {
    return this.control.length + this.work.length;
  }

  /** False if there is no room. */
  add(message: Message): boolean {
    const bytes = sizeOf(message);
    const { bufferMessages, bufferBytes } = this.limits;
    if (message.type === 'prepare') {
      if (this.work.length >= bufferMessages || this.workBytes + bytes > bufferBytes) return false;
      this.workBytes += bytes;
      this.work.push(message);
    } else {
      if (this.control.length >= bufferMessages || this.controlBytes + bytes > bufferBytes) return false;
      this.controlBytes += bytes;
      this.control.push(message);
    }
    return true;
  }

  /** What goes into the next frame, at least one message if there is any. */
  take(): Message[] {
    if (this.controlBytes + this.workBytes <= this.limits.frameBytes) return this.takeAll();
    const taken: Message[] = [];
    let room = this.limits.frameBytes;
    for (const queue of [this.control, this.work]) {
      let count = 0;
      for (; count < queue.length; count++) {
        const bytes = sizeOf(queue[count]!);
        if (bytes > room && taken.length + count > 0) break;
        room -= bytes;
        if (queue === this.control) this.controlBytes -= bytes;
        else this.workBytes -= bytes;
      }
      taken.push(...queue.splice(0, count));
      // Work never overtakes control that did not fit.
      if (queue.length > 0) break;
    }
    return taken;
  }

  takeAll(): Message[] {
    const all = this.control.length === 0 ? this.work : this.work.length === 0 ? this.control : this.control.concat(this.work);
    this.control = [];
    this.work = [];
    this.controlBytes = 0;
    this.workBytes = 0;
    return all;
  }
}

function sizeOf(message: ToParticipant | ToCoordinator): number {
  let bytes = MESSAGE_BYTES;
  if (message.type === 'prepare')
    for (const { typeUrl, value } of message.operations) bytes += value.length + typeUrl.length + 16;
  else if (message.type === 'vote') bytes += message.cause?.detail?.value.length ?? 0;
  return bytes;
}
