/** Messages that wait for the next frame: bounded in number and bytes, control before work. */

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
  private bytes = 0;

  constructor(limits: OutboxLimits) {
    this.limits = limits;
  }

  get length(): number {
    return this.control.length + this.work.length;
  }

  /** False if there is no room. */
  add(message: Message): boolean {
    const bytes = sizeOf(message);
    if (this.length >= this.limits.bufferMessages || this.bytes + bytes > this.limits.bufferBytes) return false;
    this.bytes += bytes;
    (message.type === 'prepare' ? this.work : this.control).push(message);
    return true;
  }

  /** What goes into the next frame, at least one message if there is any. */
  take(): Message[] {
    if (this.bytes <= this.limits.frameBytes) return this.takeAll();
    const taken: Message[] = [];
    let room = this.limits.frameBytes;
    for (const queue of [this.control, this.work]) {
      let count = 0;
      for (; count < queue.length; count++) {
        const bytes = sizeOf(queue[count]!);
        if (bytes > room && taken.length + count > 0) break;
        room -= bytes;
        this.bytes -= bytes;
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
    this.bytes = 0;
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
