/**
 * A participant partition: the branch protocol and local transactions over any {@link Resource}. This
 * file only hands commands to the parts that know; the invariants are upheld there.
 */

import type { Cost, Kernel, KeyRange, StepInput } from '../kernel.ts';
import type { Mark, ToParticipant } from '../messages.ts';
import type { ParticipantBug } from './bugs.ts';
import { Branches, UNPACKED_BYTES } from './branches.ts';
import { EndedBranches, RANGES_PER_STEP } from './ended.ts';
import { BRANCH_PREFIX, DONE_PREFIX, LATE_PREFIX, LOCAL_PREFIX, PREPARED_PREFIX, PROGRESS_KEY, rangeOf } from './keys.ts';
import { Locals } from './local.ts';
import type { LockRequest } from './locks.ts';
import { PACK_RANGES_PER_STEP, Packs } from './packs.ts';
import { Reads } from './reads.ts';
import { Requests } from './requests.ts';
import { Resolution } from './resolution.ts';
import type { Resource } from './resource.ts';
import { PartitionState, type ParticipantOutput } from './state.ts';
import type { ParticipantSurvey, ParticipantTally } from './tally.ts';
import type {
  BranchRecord,
  DoneRecord,
  LocalRecord,
  ParticipantCommand,
  ParticipantMessage,
  ParticipantRecord,
  ParticipantReply,
  ParticipantSettings,
  PreparedRecord,
  ProgressRecord,
  ResourceTypes,
} from './types.ts';
import type { LateRecord } from '../outcomes/outcomes.ts';
import { LockWaits } from './waits.ts';
import { Workspaces } from './workspaces.ts';

const NOTHING: readonly string[] = [];
const NO_COST: Cost = { operations: 0, bytes: 0 };
/** Most alarms that one tick rings. */
const ALARMS_PER_TICK = 256;
const RANGE_BYTES = 200;
const MARK_BYTES = 32;
const PROGRESS_BYTES = 256;

export interface ParticipantOptions<T extends ResourceTypes> {
  readonly settings: ParticipantSettings;
  readonly resource: Resource<T>;
  readonly bugs?: ReadonlySet<ParticipantBug>;
  /** Absent: nobody counts. */
  readonly tally?: ParticipantTally;
}

export class ParticipantKernel<T extends ResourceTypes>
  implements Kernel<ParticipantCommand<T>, ParticipantRecord<T>, ParticipantReply<T>, ParticipantMessage>
{
  readonly tick: ParticipantCommand<T> = { type: 'tick' };
  readonly retire: ParticipantCommand<T> | undefined;
  private readonly state: PartitionState<T>;
  private readonly ended: EndedBranches<T>;
  private readonly packs: Packs<T>;
  private readonly waits: LockWaits<T>;
  private readonly workspaces: Workspaces<T>;
  private readonly branches: Branches<T>;
  private readonly resolution: Resolution<T>;
  private readonly reads: Reads<T>;
  private readonly locals: Locals<T>;
  private readonly requests: Requests<T>;
  private readonly loads: (KeyRange | readonly string[])[];

  constructor({ settings, resource, bugs, tally }: ParticipantOptions<T>) {
    const state = (this.state = new PartitionState<T>(settings, resource, bugs ?? new Set(), tally));
    this.ended = new EndedBranches(state);
    this.packs = new Packs(state);
    this.waits = new LockWaits(state, {
      onAwaited: (holder: LockRequest) => this.resolution.urge(holder),
      onReleased: (holder: LockRequest) => this.reads.onReleased(holder),
    });
    this.workspaces = new Workspaces(state);
    this.branches = new Branches(state, this.ended, this.packs, this.waits, this.workspaces, (branch) => this.resolution.inquire(branch));
    this.resolution = new Resolution(state, this.ended, this.branches, this.waits);
    this.reads = new Reads(state, this.workspaces, (holder) => this.resolution.urge(holder));
    this.locals = new Locals(state, this.waits);
    this.requests = new Requests(state, (holder) => this.resolution.urge(holder));
    this.retire = resource.requests === undefined ? undefined : { type: 'retire' };
    this.loads = [
      [PROGRESS_KEY],
      rangeOf(DONE_PREFIX),
      rangeOf(BRANCH_PREFIX),
      rangeOf(PREPARED_PREFIX),
      rangeOf(LATE_PREFIX),
      ...resource.activeRanges,
    ];
  }

  /** Looks at every branch that is held, at most as many as the settings allow. */
  survey(): ParticipantSurvey {
    let prepared = 0;
    let oldestPrepareMs: number | undefined;
    for (const { record } of this.branches.all()) {
      if (record === undefined || record.heuristic !== undefined) continue;
      prepared++;
      if (oldestPrepareMs === undefined || record.prepareMs < oldestPrepareMs) oldestPrepareMs = record.prepareMs;
    }
    return { prepared, oldestPrepareMs, waiting: this.state.locks.waitingCount };
  }

  // Recovery

  recovery(): KeyRange | readonly string[] | undefined {
    return this.loads.shift();
  }

  recover(key: string, record: ParticipantRecord<T>): void {
    if (key === PROGRESS_KEY) {
      const progress = record as ProgressRecord;
      this.state.revision = Math.max(progress.revision, this.state.settings.numbersAbove);
      this.ended.recoverProgress(progress.doneSequence, progress.marks);
      this.locals.outcomes.restore(progress.locals);
    } else if (key.startsWith(DONE_PREFIX)) this.ended.recoverDone(record as DoneRecord);
    else if (key.startsWith(BRANCH_PREFIX)) this.branches.recover(record as BranchRecord<T['effect']>);
    else if (key.startsWith(PREPARED_PREFIX)) this.branches.recoverPack(record as PreparedRecord<T['effect']>);
    else if (key.startsWith(LATE_PREFIX)) this.locals.outcomes.recoverLate(key, record as LateRecord);
    else this.state.resource.recover(key, record as T['record']);
  }

  lead(epoch: number, input: StepInput, out: ParticipantOutput<T>): void {
    this.begin(input, out);
    this.state.epoch = epoch;
    this.state.resource.lead(this.state.revision, epoch);
    this.branches.lead();
    this.ended.recovered();
  }

  // Steps

  missing(command: ParticipantCommand<T>): readonly string[] {
    const { resource } = this.state;
    switch (command.type) {
      case 'message': {
        const { message } = command;
        if (message.type === 'prepare') return resource.missing(this.branches.operationsOf(message) ?? []);
        return message.type === 'commit' ? this.missingForOutcome(message.branch.transactionId) : NOTHING;
      }
      case 'local': {
        const outcome = this.locals.missing(command.transactionId);
        const records = resource.missing(command.operations);
        return outcome === undefined ? records : [outcome, ...records];
      }
      case 'resolve':
        return this.missingForOutcome(command.transactionId);
      case 'read':
        return resource.missingForQuery(command.query);
      case 'request':
        return this.requests.missing(command.request);
      case 'answerRead': {
        const query = this.reads.queryOf(command.ticket);
        return query === undefined ? NOTHING : resource.missingForQuery(query);
      }
      case 'granted':
        return resource.missing(this.waits.find(command.ticket)?.operations ?? []);
      case 'upkeep':
        return resource.missingForUpkeep();
      default:
        return NOTHING;
    }
  }

  admit(key: string, record: ParticipantRecord<T> | undefined): void {
    if (key.startsWith(LOCAL_PREFIX)) this.locals.outcomes.admit(key, record as LocalRecord | undefined);
    else this.state.resource.admit(key, record as T['record'] | undefined);
  }

  cost(command: ParticipantCommand<T>): Cost {
    switch (command.type) {
      case 'message':
        return this.messageCost(command.message);
      case 'local':
        return this.locals.cost(command.operations);
      case 'granted':
      case 'waitedOut': {
        const operations = this.waits.find(command.ticket)?.operations;
        if (operations === undefined) return NO_COST;
        const [a, b] = [this.locals.cost(operations), this.branches.prepareCost(operations)];
        return { operations: Math.max(a.operations, b.operations), bytes: Math.max(a.bytes, b.bytes) };
      }
      case 'resolve':
        return this.branches.outcomeCost(command.transactionId);
      case 'upkeep':
        return this.state.resource.upkeepCost;
      case 'request':
        return this.requests.cost(command.request);
      case 'due':
        return this.requests.dueCost;
      case 'tick': {
        const collect = this.locals.collectCost;
        const ranges = 2 * RANGES_PER_STEP + PACK_RANGES_PER_STEP;
        const bytes = collect.bytes + ranges * RANGE_BYTES + RANGES_PER_STEP * UNPACKED_BYTES;
        return { operations: collect.operations + ranges + RANGES_PER_STEP, bytes };
      }
      default:
        return NO_COST;
    }
  }

  /** Phase 2, unless somebody waits for what the branch holds, or for the answer. */
  canWait(command: ParticipantCommand<T>): boolean {
    if (command.type === 'mark') return true;
    // Requests may wait for what a commit makes visible.
    if (command.type !== 'message' || command.origin !== undefined || this.requests.served) return false;
    const { type } = command.message;
    return (type === 'commit' || type === 'abort' || type === 'forget') && this.state.locks.waitingCount === 0 && !this.reads.anyWaits;
  }

  step(command: ParticipantCommand<T>, input: StepInput, out: ParticipantOutput<T>): void {
    this.begin(input, out);
    switch (command.type) {
      case 'message':
        return this.onMessage(command.message, command.origin);
      case 'mark':
        return this.onMark(command);
      case 'local':
        return this.locals.run(command);
      case 'read':
        return this.reads.read(command);
      case 'request':
        return this.requests.serve(command);
      case 'due':
        return this.requests.onDue();
      case 'retire':
        return this.requests.retire();
      case 'work':
        return this.workspaces.work(command);
      case 'resolve':
        return this.resolution.resolve(command);
      case 'listPrepared':
        return this.resolution.list(command);
      case 'cancel':
        this.reads.cancel(command.target);
        this.workspaces.cancel(command.target);
        this.requests.cancel(command.target);
        return this.locals.cancel(command.target);
      case 'granted':
      case 'waitedOut':
        return this.waits.continue(command.type, command.ticket);
      case 'answerRead':
        return this.reads.continue(command.ticket);
      case 'upkeep':
        return this.state.resource.upkeep(out);
      case 'tick':
        return this.onTick();
    }
  }

  seal(input: StepInput, out: ParticipantOutput<T>): void {
    this.begin(input, out);
    const { state, locals } = this;
    this.requests.conclude();
    state.resource.seal(state.revision, state.nowMs, out);
    this.packs.seal();
    this.ended.seal();
    if (state.progressChanged || locals.outcomes.floorChanged) {
      state.progressChanged = false;
      out.put(PROGRESS_KEY, {
        type: 'progress',
        revision: state.revision,
        doneSequence: this.ended.doneSequence,
        marks: this.ended.marks(),
        locals: locals.outcomes.watermarks,
      });
    }
    locals.outcomes.seal(state.nowMs);
  }

  get sealCost(): Cost {
    const { operations, bytes } = this.state.resource.sealCost;
    const packs = this.packs.sealCost;
    // One done record, one progress record.
    return {
      operations: operations + packs.operations + 2,
      bytes: bytes + packs.bytes + PROGRESS_BYTES + this.ended.coordinatorCount * MARK_BYTES,
    };
  }

  wakeAtMs(): number | undefined {
    if (this.state.resource.upkeepDue) return 0;
    const alarm = this.state.alarms.nextMs() ?? Infinity;
    if (this.packs.due) return 0;
    const { ended, locals, requests } = this;
    const atMs = Math.min(alarm, ended.forgetAtMs() ?? Infinity, locals.collectDueMs ?? Infinity, requests.wakeAtMs);
    return atMs === Infinity ? undefined : atMs;
  }

  durableState(): unknown {
    const { revision, resource } = this.state;
    return {
      revision,
      ended: this.ended.durableState(),
      branches: this.branches.durableState(),
      locals: this.locals.outcomes.durableState(),
      resource: resource.durableState(),
    };
  }

  private begin(input: StepInput, out: ParticipantOutput<T>): void {
    this.state.nowMs = input.nowMs;
    this.state.entropy = input.entropy;
    this.state.out = out;
  }

  private missingForOutcome(transactionId: string): readonly string[] {
    const effect = this.branches.get(transactionId)?.record?.effect;
    return effect === undefined ? NOTHING : this.state.resource.missingForEffect(effect);
  }

  private messageCost(message: ToParticipant<T['operation']>): Cost {
    switch (message.type) {
      case 'prepare':
        return this.branches.prepareCost(this.branches.operationsOf(message) ?? []);
      case 'commit':
      case 'abort':
      case 'forget':
        return this.branches.outcomeCost(message.branch.transactionId);
      default:
        return NO_COST;
    }
  }

  private onMessage(message: ToParticipant<T['operation']>, origin: unknown): void {
    switch (message.type) {
      case 'prepare':
        return this.branches.prepare(message, origin);
      case 'commit':
        return this.resolution.commit(message.branch, origin);
      case 'abort':
        this.workspaces.abort(message.branch);
        return this.resolution.abort(message.branch, origin);
      case 'forget':
        return this.resolution.forget(message.branch);
      case 'enlistAnswer':
        return this.workspaces.onEnlistAnswer(message.branch, message.refusal);
      case 'pending':
        // The next inquiry is set already.
        return;
    }
  }

  private onMark(mark: Mark): void {
    if (this.ended.hear(mark)) this.resolution.onNewEpoch(mark);
  }

  private onTick(): void {
    const { alarms, nowMs } = this.state;
    for (let rung = 0; rung < ALARMS_PER_TICK; rung++) {
      const alarm = alarms.takeDue(nowMs);
      if (alarm === undefined) break;
      alarm.ring();
    }
    if (this.packs.due || (this.ended.forgetAtMs() ?? Infinity) <= nowMs) {
      this.ended.forget((transactionId) => this.branches.unpack(transactionId));
      this.packs.forget((partition, attempt) => this.ended.isForgotten(partition, attempt));
    }
    if ((this.locals.collectDueMs ?? Infinity) <= nowMs) this.locals.collect();
    if (this.state.resource.upkeepDue) this.state.out.follow({ type: 'upkeep' });
    if (this.requests.wakeAtMs <= nowMs) this.state.out.follow({ type: 'due' });
  }
}
