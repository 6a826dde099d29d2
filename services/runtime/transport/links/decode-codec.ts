/**
 * From the bytes of ExchangeRequest and ExchangeResponse to the kernels' messages. Stricter than
 * generated code: a frame with a message that lacks what it can't be without is refused as a whole.
 */

import type { Attempt } from '../../../kernel/attempt.ts';
import type { Failure } from '../../../kernel/failure.ts';
import type {
  BranchId,
  Mark,
  OpaqueOperation,
  Prepare,
  ToCoordinator,
  ToParticipant,
} from '../../../kernel/messages.ts';
import { isTransactionId } from '../../../kernel/transaction-id.ts';
import { Status } from '../../../gen/google/rpc/status.ts';
import { Vote as WireVote } from '../../../gen/txmesh/participant/v1/participant.ts';
import { statusToFailure } from '../../errors/status.ts';
import { StrictReader } from '../decode.ts';
import { heuristicFromWire, voteFromWire, type RequestFrame, type ResponseFrame } from './frames.ts';

/** Tags of length-delimited fields. */
const [FIELD_1, FIELD_2, FIELD_3, FIELD_4, FIELD_5, FIELD_6, FIELD_7, FIELD_8] = [10, 18, 26, 34, 42, 50, 58, 66];
/** Tags of varint fields. */
const [INT_1, INT_2, INT_4, INT_5, INT_6, INT_7] = [8, 16, 32, 40, 48, 56];

/**
 * @param nowMs wall time, from which time left becomes a deadline.
 * @throws Error where the bytes are no frame, or a message lacks what it can't be without.
 */
export function decodeRequestFrame(bytes: Uint8Array | StrictReader, nowMs: number): RequestFrame {
  const reader = bytes instanceof StrictReader ? bytes : new StrictReader(bytes);
  let clusterId = '';
  const marks: Mark[] = [];
  const messages: ToParticipant[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === FIELD_1) clusterId = reader.string();
    else if (tag === FIELD_2) marks.push(readMark(reader));
    else if (tag === FIELD_3) {
      const message = readToParticipant(reader, nowMs);
      if (message !== undefined) messages.push(message);
    } else skip(reader, tag);
  }
  return { clusterId, marks, messages };
}

/** @throws Error where the bytes are no frame, or a message lacks what it can't be without. */
export function decodeResponseFrame(bytes: Uint8Array | StrictReader): ResponseFrame {
  const reader = bytes instanceof StrictReader ? bytes : new StrictReader(bytes);
  let clusterId = '';
  const messages: ToCoordinator[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === FIELD_1) clusterId = reader.string();
    else if (tag === FIELD_2) {
      const message = readToCoordinator(reader);
      if (message !== undefined) messages.push(message);
    } else skip(reader, tag);
  }
  return { clusterId, messages };
}

/** The end of the nested message that begins here. */
function endOf(reader: StrictReader): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError('premature EOF');
  return end;
}

/** A field of a later version, or one that is not used here. */
function skip(reader: StrictReader, tag: number): void {
  if (tag >>> 3 === 0 || (tag & 7) === 4) throw new Error(`no field has the tag ${tag}`);
  reader.skip(tag & 7);
}

function leave(reader: StrictReader, end: number): void {
  if (reader.pos !== end) throw new Error('a field is longer than the message that holds it');
}

function readAttempt(reader: StrictReader): Attempt {
  let epoch = 0;
  let counter = 0;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === INT_1) epoch = reader.safeInteger();
    else if (tag === INT_2) counter = reader.safeInteger();
    else skip(reader, tag);
  }
  leave(reader, end);
  return { epoch, counter };
}

function readMark(reader: StrictReader): Mark {
  let coordinatorPartition = 0;
  let lowWaterMark: Attempt | undefined;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === INT_1) coordinatorPartition = reader.uint32();
    else if (tag === FIELD_2) lowWaterMark = readAttempt(reader);
    else skip(reader, tag);
  }
  leave(reader, end);
  if (lowWaterMark === undefined || lowWaterMark.epoch === 0) throw new Error('a mark has no low_water_mark');
  return { coordinatorPartition, lowWaterMark };
}

function readBranch(reader: StrictReader): BranchId {
  let transactionId = '';
  let attempt: Attempt | undefined;
  let coordinatorPartition = 0;
  let participant = '';
  let partition = 0;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIELD_2) transactionId = reader.string();
    else if (tag === FIELD_3) attempt = readAttempt(reader);
    else if (tag === INT_4) coordinatorPartition = reader.uint32();
    else if (tag === FIELD_5) participant = reader.string();
    else if (tag === INT_6) partition = reader.uint32();
    else skip(reader, tag);
  }
  leave(reader, end);
  if (!isTransactionId(transactionId)) throw new Error("a branch's transaction_id is no UUIDv7 in canonical form");
  if (attempt === undefined || attempt.epoch === 0 || attempt.counter === 0) throw new Error('a branch has no attempt');
  if (participant === '') throw new Error('a branch has no participant');
  return { transactionId, attempt, coordinatorPartition, participant, partition };
}

/** Undefined for a kind of message that this version does not know: it may be lost, like any other. */
function readToParticipant(reader: StrictReader, nowMs: number): ToParticipant | undefined {
  let branch: BranchId | undefined;
  let content: Content<ToParticipant> | undefined;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case FIELD_1:
        branch = readBranch(reader);
        break;
      case FIELD_2:
        content = readPrepare(reader, nowMs);
        break;
      case FIELD_3:
      case FIELD_4:
        content = readOutcome(reader, tag === FIELD_3 ? 'commit' : 'abort');
        break;
      case FIELD_5:
        reader.skip(2);
        content = { type: 'pending' };
        break;
      case FIELD_6:
        content = readEnlistAnswer(reader);
        break;
      case FIELD_7:
        reader.skip(2);
        content = { type: 'forget' };
        break;
      default:
        skip(reader, tag);
    }
  }
  leave(reader, end);
  if (branch === undefined) throw new Error('a message names no branch');
  return content === undefined ? undefined : complete<ToParticipant>(content, branch);
}

function readToCoordinator(reader: StrictReader): ToCoordinator | undefined {
  let branch: BranchId | undefined;
  let content: Content<ToCoordinator> | undefined;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case FIELD_1:
        branch = readBranch(reader);
        break;
      case FIELD_2:
        content = readVote(reader);
        break;
      case FIELD_3:
        content = { type: 'acknowledge', heuristic: heuristicFromWire(readInteger(reader)) };
        break;
      case FIELD_4:
        reader.skip(2);
        content = { type: 'inquire' };
        break;
      case FIELD_5:
        content = { type: 'enlist', epoch: readInteger(reader) };
        break;
      case FIELD_6:
        content = { type: 'undelivered', failure: readFailure(reader) };
        break;
      default:
        skip(reader, tag);
    }
  }
  leave(reader, end);
  if (branch === undefined) throw new Error('a message names no branch');
  return content === undefined ? undefined : complete<ToCoordinator>(content, branch);
}

/** A message but for its branch, which may stand behind its content. */
type Content<Message> = Message extends unknown ? Omit<Message, 'branch'> & { branch?: BranchId } : never;

function complete<Message>(content: Content<Message>, branch: BranchId): Message {
  content.branch = branch;
  return content as Message;
}

function readPrepare(reader: StrictReader, nowMs: number): Content<Prepare> {
  const operations: OpaqueOperation[] = [];
  let firstTryMs = 0;
  let remainingMs = 0;
  let readOnly = false;
  let attempt: Attempt | undefined;
  let epoch = 0;
  let trace = '';
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIELD_2) operations.push(readAny(reader));
    else if (tag === FIELD_3) firstTryMs = readMs(reader);
    else if (tag === FIELD_4) remainingMs = readMs(reader);
    else if (tag === INT_5) readOnly = reader.bool();
    else if (tag === FIELD_6) attempt = readAttempt(reader);
    else if (tag === INT_7) epoch = reader.safeInteger();
    else if (tag === FIELD_8) trace = reader.string();
    else skip(reader, tag);
  }
  leave(reader, end);
  return {
    type: 'prepare',
    operations,
    firstTryMs,
    deadlineMs: nowMs + remainingMs,
    readOnly,
    ...(attempt !== undefined && { workspace: { attempt, epoch } }),
    ...(trace !== '' && { trace }),
  };
}

function readAny(reader: StrictReader): OpaqueOperation {
  let typeUrl = '';
  let value: Uint8Array | undefined;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIELD_1) typeUrl = reader.string();
    else if (tag === FIELD_2) value = reader.bytes();
    else skip(reader, tag);
  }
  leave(reader, end);
  // A copy: participants keep it, and a view would keep the whole frame. Small ones share Node's pool.
  return { typeUrl, value: Buffer.from(value ?? '') };
}

function readOutcome(reader: StrictReader, type: 'commit' | 'abort'): Content<ToParticipant> {
  let trace = '';
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIELD_1) trace = reader.string();
    else skip(reader, tag);
  }
  leave(reader, end);
  return trace === '' ? { type } : { type, trace };
}

function readEnlistAnswer(reader: StrictReader): Content<ToParticipant> {
  let refusal: Failure | undefined;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === FIELD_1) refusal = readFailure(reader);
    else skip(reader, tag);
  }
  leave(reader, end);
  return refusal === undefined ? { type: 'enlistAnswer' } : { type: 'enlistAnswer', refusal };
}

function readVote(reader: StrictReader): Content<ToCoordinator> {
  let vote = 0;
  let cause: Failure | undefined;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === INT_1) vote = reader.uint32();
    else if (tag === FIELD_2) cause = readFailure(reader);
    else skip(reader, tag);
  }
  leave(reader, end);
  if (vote === WireVote.UNSPECIFIED) throw new Error('a vote says neither yes nor no');
  return cause === undefined ? { type: 'vote', vote: voteFromWire(vote) } : { type: 'vote', vote: voteFromWire(vote), cause };
}

/** A nested message of which only field 1, an integer, is read. */
function readInteger(reader: StrictReader): number {
  let value = 0;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === INT_1) value = reader.safeInteger();
    else skip(reader, tag);
  }
  leave(reader, end);
  return value;
}

/** Milliseconds of a google.protobuf.Timestamp or Duration that is not negative. */
function readMs(reader: StrictReader): number {
  let seconds = 0;
  let nanos = 0;
  const end = endOf(reader);
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === INT_1) seconds = reader.safeInteger();
    else if (tag === INT_2) nanos = reader.safeInteger();
    else skip(reader, tag);
  }
  leave(reader, end);
  return seconds * 1000 + Math.trunc(nanos / 1e6);
}

function readFailure(reader: StrictReader): Failure {
  return statusToFailure(Status.decode(new StrictReader(reader.bytes())));
}
