/**
 * Adds outside of transactions: many in one step, each with its token. The hottest path of the
 * service: an add costs a look-up of its token, a sum and a result.
 */

import type { Failure } from '../failure.ts';
import type { Origin } from '../kernel.ts';
import type { ResourceContext } from '../participant/resource.ts';
import type { Session } from '../sessions/session.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { TokenRefusal } from '../sessions/types.ts';
import type { CounterCache } from './cache.ts';
import type { CounterEntry } from './entry.ts';
import type { Escrow } from './escrow.ts';
import { refusalOfAdd } from './evaluate.ts';
import type { EventLog } from './events.ts';
import { changing, notFound, refusedBefore, tokenReused, tooManyEvents } from './failures.ts';
import { hashOfSession, homeOf, partitionOfReplica, slotOfHash } from './placement.ts';
import { scopeOf } from './slots.ts';
import type { AddOutcome, AddsRequest, Component, CounterSettings, CounterTypes, DirectAdd, TokenResult } from './types.ts';

const CREATING = 'a transaction is about to decide on the existence';

type Opened = Session<TokenResult> | TokenRefusal;

export interface AddParts {
  readonly settings: CounterSettings;
  readonly counters: CounterCache;
  readonly sessions: Sessions<TokenResult>;
  readonly escrow: Escrow;
  readonly events: EventLog;
  /** This partition of this cluster. */
  readonly own: Component;
  /** News of a replicated counter are to be told to others. */
  tell(name: string): void;
}

export class Adds {
  private readonly parts: AddParts;

  constructor(parts: AddParts) {
    this.parts = parts;
  }

  serve(request: AddsRequest, origin: Origin, context: ResourceContext<CounterTypes>): void {
    const { names, adds } = request;
    const { counters } = this.parts;
    const entries = names.map((name) => counters.get(name));
    const outcomes: AddOutcome[] = [];
    const sessionHash = hashOfSession(request.session);
    let opened: Opened | undefined;
    for (let i = 0; i < adds.length; i++) {
      const add = adds[i]!;
      const entry = entries[add.counter];
      const slot = slotOfHash(sessionHash, add.sequence);
      const elsewhere = entry === undefined ? this.absent(names[add.counter]!) : this.misplaced(entry, request.session, slot);
      if (elsewhere !== undefined) {
        outcomes.push(elsewhere);
        continue;
      }
      if (entry!.kind === 'sharded') {
        const scope = scopeOf(entry!.name, slot);
        outcomes.push(this.add(entry!, slot, this.open(scope, request, context), scope, add, context));
      } else outcomes.push(this.add(entry!, 0, (opened ??= this.open('', request, context)), '', add, context));
    }
    context.respond(origin, { type: 'added', outcomes });
  }

  private open(scope: string, { session, settledBelow }: AddsRequest, { nowMs }: ResourceContext<CounterTypes>): Opened {
    return this.parts.sessions.open(scope, session, settledBelow, nowMs);
  }

  /** The counter is not here: its home knows whether it exists. */
  private absent(name: string): AddOutcome {
    const { participant, partition, partitions } = this.parts.settings;
    if (this.parts.escrow.isChanging(name)) return { type: 'failed', failure: changing(name, CREATING) };
    if (homeOf(name, partitions) !== partition) return { type: 'elsewhere', layout: undefined };
    return { type: 'failed', failure: notFound(participant, name) };
  }

  private misplaced(entry: CounterEntry, session: string, slot: number): AddOutcome | undefined {
    const { partition, partitions } = this.parts.settings;
    switch (entry.kind) {
      case 'strong':
      case 'queued':
        return undefined;
      case 'replicated':
        if (partitionOfReplica(session, partitions) === partition) return undefined;
        break;
      case 'sharded': {
        const state = entry.slots[slot]?.state;
        if (state === 'here') return undefined;
        if (state === 'frozen') return { type: 'failed', failure: changing(entry.name, 'a slot is moving to another partition since the number of shards was changed') };
      }
    }
    const { kind, shards, previousShards } = entry;
    return { type: 'elsewhere', layout: { kind, shards, previousShards } };
  }

  private add(entry: CounterEntry, slot: number, opened: Opened, scope: string, add: DirectAdd, context: ResourceContext<CounterTypes>): AddOutcome {
    if ('reason' in opened) return { type: 'failed', failure: opened };
    const { amount, sequence } = add;
    const check = (entry.hash ^ Number(amount & 0xffffffffn)) >>> 0;
    const known = opened.find(sequence);
    if (known !== undefined) return this.again(known, check, entry, opened, add);
    const refusal = this.refusal(entry, opened, scope, sequence, context);
    if (refusal !== undefined) return { type: 'failed', failure: refusal };
    const pending = entry.kind === 'queued' ? (this.parts.events.pendingOf(entry.name, entry.id)?.amount ?? 0n) : 0n;
    const held = this.parts.escrow.of(entry.name);
    const left = entry.fitting(amount, slot, pending, held, this.parts.own);
    if (left !== amount) {
      // Reservations of transactions in doubt may be in the way.
      if (held !== undefined) context.urge(entry.name);
      this.parts.sessions.record(opened, sequence, { type: 'refused', check, left });
      return { type: 'failed', failure: refusalOfAdd(entry, amount, left, held) };
    }
    if (entry.kind === 'queued') this.parts.events.append(entry.name, entry.id, amount);
    else {
      entry.credit(amount, slot, this.parts.own);
      entry.count(amount, 1);
      this.parts.counters.touch(entry);
      if (entry.kind === 'replicated') this.parts.tell(entry.name);
    }
    // What is prepared here may be committed already: then a value without it would not be linearizable (invariant C5).
    const value = entry.kind === 'strong' && !this.parts.escrow.isHeld(entry.name) ? entry.value : undefined;
    this.parts.settings.tally?.added(entry.kind);
    const result: TokenResult = { type: 'counted', check, value };
    this.parts.sessions.record(opened, sequence, result);
    return result;
  }

  /** The token was executed before. */
  private again(known: TokenResult, check: number, { name }: CounterEntry, { id }: Session<TokenResult>, { sequence, amount }: DirectAdd): AddOutcome {
    if (known.check !== check) return { type: 'failed', failure: tokenReused(id, sequence) };
    return known.type === 'counted' ? known : { type: 'failed', failure: refusedBefore(name, amount, known.left) };
  }

  /** Why a new add can't be executed now; it is surely not, and may be tried again with its token. */
  private refusal(entry: CounterEntry, session: Session<TokenResult>, scope: string, sequence: number, context: ResourceContext<CounterTypes>): Failure | undefined {
    if (this.parts.escrow.isChanging(entry.name)) {
      context.urge(entry.name);
      return changing(entry.name, 'a transaction under way changes, or depends on, the value or the configuration');
    }
    if (entry.kind === 'queued' && this.parts.events.recordCount >= this.parts.settings.maxEvents) return tooManyEvents(this.parts.events.recordCount);
    return session.refusal(sequence) ?? this.parts.sessions.fullness(scope);
  }
}
