/**
 * Links: how coordinator partitions and participant partitions talk. A message goes to the term that
 * leads its partition in this process, as an object, or through a stream to the replica that leads it.
 * It may be lost, copied, late and out of order, as the kernels expect; one that was surely not
 * delivered comes back to its coordinator partition as `undelivered`.
 */

import { delay } from '../../clock.ts';
import type { Timer } from '../../clock.ts';
import { COORDINATOR } from '../../cluster/view.ts';
import type { Failure } from '../../../kernel/failure.ts';
import type { Mark, Prepare, ToCoordinator, ToParticipant } from '../../../kernel/messages.ts';
import { exchangeMethod } from './definition.ts';
import { Incoming, notLed } from './incoming.ts';
import { Marks } from './marks.ts';
import { OutgoingLink, unreachable } from './outgoing.ts';
import { PlainCalls } from './plain-calls.ts';
import { DEFAULT_LINK_SETTINGS, type LinksOptions, type LinkSettings, type LinkTerm } from './types.ts';

export { participantService } from './definition.ts';
export { DEFAULT_LINK_SETTINGS, type LinkCommand, type LinksOptions, type LinkSettings, type LinkTerm, type LinkView } from './types.ts';

export class Links {
  private readonly options: LinksOptions;
  private readonly settings: LinkSettings;
  private readonly marks = new Marks();
  private readonly outgoing = new Map<string, OutgoingLink>();
  private readonly incoming: Incoming;
  private readonly plain: PlainCalls;
  /** Addresses that do not serve Exchange, and until when (monotonic) they are not asked again. */
  private readonly plainUntilMs = new Map<string, number>();
  private readonly unsubscribe: () => void;
  private timers: Timer[] = [];
  private marksScheduled = false;
  private closed = false;

  constructor(options: LinksOptions) {
    this.options = options;
    const { clusterId, channels, clock, view, requests } = options;
    const settings = (this.settings = { ...DEFAULT_LINK_SETTINGS, ...options.settings });
    this.incoming = new Incoming({
      clusterId,
      settings,
      requests: requests?.of(exchangeMethod.path),
      onMarks: (marks) => {
        for (const mark of marks) this.marks.hear(mark);
        this.passMarksSoon();
      },
      deliver: (message) => this.deliver(message),
    });
    this.plain = new PlainCalls({
      clusterId,
      channels,
      clock,
      settings,
      mark: (partition) => this.marks.of(partition),
      toCoordinatorTerm: (message) => this.toCoordinatorTerm(message),
      toParticipantTerm: (message) => void this.deliver(message),
    });
    this.unsubscribe = view.onChange(() => this.reconcile());
    this.scheduleHeartbeat();
  }

  /** Serves ParticipantService.Exchange; register it under `participantService(clock)`. */
  get exchange(): Incoming['exchange'] {
    return this.incoming.exchange;
  }

  /** From a coordinator partition led here. */
  toParticipant(message: ToParticipant): void {
    const { participant, partition } = message.branch;
    // A term that another replica has overtaken ends as soon as the view shows it.
    const term = this.participantTerm(participant, partition);
    if (term === undefined) {
      const failure = this.sendAway(message);
      if (failure !== undefined) this.giveBack(message, failure);
      return;
    }
    const answer = this.hand(term, message);
    if (answer !== undefined) this.toCoordinatorTerm(answer);
  }

  /** From a participant partition led here. */
  toCoordinator(message: ToCoordinator): void {
    const partition = message.branch.coordinatorPartition;
    const term = this.options.term(COORDINATOR, partition);
    if (term !== undefined && term.epoch >= this.incoming.epoch(partition)) {
      term.submit({ type: 'message', message }, message.type === 'enlist' ? 'work' : 'control');
      return;
    }
    if (this.incoming.send(message)) return;
    if (message.type !== 'inquire' && message.type !== 'enlist') return;
    const leader = this.options.view.leader(COORDINATOR, partition);
    if (leader !== undefined && leader.address !== this.options.address) this.plain.toCoordinator(leader.address, message);
  }

  /** The low-water mark of a coordinator partition led here: goes to everybody, soon. */
  mark(mark: Mark): void {
    const { generation } = this.marks;
    this.marks.say(mark);
    this.passMarksSoon();
    if (this.marks.generation !== generation) this.reconcile();
  }

  /** Hears a mark that came with a plain call. */
  hear(mark: Mark): void {
    this.marks.hear(mark);
    this.passMarksSoon();
  }

  /** Ends every link. Messages that wait come back to their coordinator partitions. */
  close(): void {
    this.closed = true;
    this.unsubscribe();
    for (const timer of this.timers) timer.cancel();
    for (const link of this.outgoing.values()) link.close('this replica is stopping');
    this.outgoing.clear();
  }

  /** Hands a message to a term here, or says what to answer. */
  private hand(term: LinkTerm, message: ToParticipant): ToCoordinator | undefined {
    const prepare = message.type === 'prepare';
    const decoded = prepare ? this.decode(message) : message;
    if ('vote' in decoded) return decoded;
    const failure = term.submit({ type: 'message', message: decoded }, prepare ? 'work' : 'control');
    return failure && undelivered(message, failure);
  }

  /** Hands a message that came from elsewhere to a term here, or says what to answer. */
  private deliver(message: ToParticipant): ToCoordinator | undefined {
    const { participant, partition } = message.branch;
    const term = this.participantTerm(participant, partition);
    if (term !== undefined) return this.hand(term, message);
    const failure = participant === COORDINATOR ? noParticipant(participant) : notLed(participant, partition);
    return undelivered(message, failure);
  }

  /** Only of participants: what is for one is nothing that a coordinator partition may step. */
  private participantTerm(participant: string, partition: number): LinkTerm | undefined {
    return participant === COORDINATOR ? undefined : this.options.term(participant, partition);
  }

  private decode(message: Prepare): Prepare<unknown> | (ToCoordinator & { readonly type: 'vote' }) {
    const operations = this.options.decodeOperations(message.branch.participant, message.operations);
    if (!('reason' in operations)) return { ...message, operations };
    return { type: 'vote', branch: message.branch, vote: 'no', cause: operations };
  }

  /** Sends a message to another process, or says why it surely was not. */
  private sendAway(message: ToParticipant): Failure | undefined {
    const { view, address: self } = this.options;
    const { participant, partition } = message.branch;
    if (participant === COORDINATOR) return noParticipant(participant);
    const external = view.externals.get(participant);
    const address = external?.address ?? view.leader(participant, partition)?.address;
    if (address === undefined || address === self)
      return { reason: 'NO_LEADER', message: `no leader of partition ${partition} of ${participant} is known`, retryAfterMs: 100 };
    if (this.usesPlainCalls(address)) return this.plain.toParticipant(address, message);
    const link = this.link(address);
    return link === undefined ? unreachable(address, 'this replica is stopping') : link.send(message);
  }

  private giveBack(message: ToParticipant, failure: Failure): void {
    const answer = undelivered(message, failure);
    if (answer !== undefined) this.toCoordinatorTerm(answer);
  }

  private toCoordinatorTerm(message: ToCoordinator): void {
    this.options
      .term(COORDINATOR, message.branch.coordinatorPartition)
      ?.submit({ type: 'message', message }, message.type === 'enlist' ? 'work' : 'control');
  }

  private link(address: string): OutgoingLink | undefined {
    if (this.closed) return undefined;
    let link = this.outgoing.get(address);
    if (link === undefined) {
      const { clusterId, channels, clock, entropy, log } = this.options;
      link = new OutgoingLink({
        address,
        clusterId,
        channels,
        clock,
        settings: this.settings,
        entropy,
        log,
        marks: () => this.currentMarks(),
        generation: () => this.marks.generation,
        onMessage: (message) => this.toCoordinatorTerm(message),
        onDown: (unsent, failure, unimplemented) => this.linkDown(address, unsent, failure, unimplemented),
      });
      this.outgoing.set(address, link);
    }
    return link;
  }

  private linkDown(address: string, unsent: readonly ToParticipant[], failure: Failure, unimplemented: boolean): void {
    if (unimplemented) {
      this.plainUntilMs.set(address, this.options.clock.monotonicMs() + this.settings.exchangeRetryMs);
      this.outgoing.get(address)?.close('it does not serve Exchange');
      this.outgoing.delete(address);
    }
    for (const message of unsent) {
      const refusal = unimplemented ? this.plain.toParticipant(address, message) : failure;
      if (refusal !== undefined) this.giveBack(message, refusal);
    }
  }

  private usesPlainCalls(address: string): boolean {
    const untilMs = this.plainUntilMs.get(address);
    if (untilMs === undefined) return false;
    if (this.options.clock.monotonicMs() < untilMs) return true;
    this.plainUntilMs.delete(address);
    return false;
  }

  /** Closes links to addresses that are gone, opens those that marks are to be sent on. */
  private reconcile(): void {
    if (this.closed) return;
    const { view, address: self } = this.options;
    const addresses = new Set<string>();
    for (const { address, services } of view.members.values())
      if (address !== self && services.some((service) => service !== COORDINATOR)) addresses.add(address);
    if (this.currentMarks().length > 0)
      for (const address of addresses) if (!this.usesPlainCalls(address)) this.link(address);
    for (const { address } of view.externals.values()) addresses.add(address);
    for (const [address, link] of this.outgoing) {
      if (addresses.has(address) || this.leads(address)) continue;
      this.outgoing.delete(address);
      link.close('it has left the cluster');
    }
    for (const address of this.plainUntilMs.keys()) if (!addresses.has(address)) this.plainUntilMs.delete(address);
  }

  /** Whether the address leads a partition: its membership may be seen later than its leadership. */
  private leads(address: string): boolean {
    const { view } = this.options;
    for (const { name, kind, partitions } of view.services.values()) {
      if (kind === 'coordinator') continue;
      for (let partition = 0; partition < partitions; partition++)
        if (view.leader(name, partition)?.address === address) return true;
    }
    return false;
  }

  private currentMarks(): Mark[] {
    return this.marks.current((partition) => this.options.term(COORDINATOR, partition) !== undefined);
  }

  private passMarksSoon(): void {
    if (this.marksScheduled || this.closed) return;
    this.marksScheduled = true;
    void delay(this.options.clock, this.settings.markMs).then(() => {
      this.marksScheduled = false;
      if (!this.closed) this.passMarks();
    });
  }

  /** Tells the participant partitions led here. */
  private passMarks(): void {
    for (const { name, kind, partitions } of this.options.view.services.values()) {
      if (kind === 'coordinator') continue;
      for (let partition = 0; partition < partitions; partition++) {
        const term = this.options.term(name, partition);
        if (term !== undefined) this.marks.tell(term);
      }
    }
  }

  private scheduleHeartbeat(): void {
    this.timers = [
      this.options.clock.setTimer(this.settings.heartbeatMs, () => {
        for (const link of this.outgoing.values()) link.heartbeat();
        // Terms that began since have not been told.
        this.passMarks();
        this.scheduleHeartbeat();
      }),
    ];
  }
}

/** Answers are not waited for: whoever asked asks again. */
function undelivered(message: ToParticipant, failure: Failure): ToCoordinator | undefined {
  if (message.type === 'pending' || message.type === 'forget' || message.type === 'enlistAnswer') return undefined;
  return { type: 'undelivered', branch: message.branch, failure };
}

function noParticipant(name: string): Failure {
  return { reason: 'UNKNOWN_PARTICIPANT', message: `${name} is no participant: it has no branches` };
}
