/**
 * From the kernels' messages to the bytes of ExchangeRequest and ExchangeResponse
 * (proto/txmesh/participant/v1/participant.proto, whose field numbers stand below). Deadlines are wall
 * time here and time left there.
 */

import type { Attempt } from '../../../kernel/attempt.ts';
import type { Failure } from '../../../kernel/failure.ts';
import type { BranchId, Prepare } from '../../../kernel/messages.ts';
import { Status } from '../../../gen/google/rpc/status.ts';
import { failureToStatus } from '../../errors/status.ts';
import { WireWriter } from '../../wire-writer.ts';
import { heuristicToWire, WIRE_VOTES, type RequestFrame, type ResponseFrame } from './frames.ts';

const writer = new WireWriter();

/** @param nowMs wall time, from which deadlines become time left. */
export function encodeRequestFrame({ clusterId, marks, messages }: RequestFrame, nowMs: number): Buffer {
  writer.text(1, clusterId);
  for (const { coordinatorPartition, lowWaterMark } of marks) {
    const mark = writer.open(2);
    writer.uint(1, coordinatorPartition);
    writeAttempt(2, lowWaterMark);
    writer.close(mark);
  }
  for (const message of messages) {
    const start = writer.open(3);
    writeBranch(message.branch);
    switch (message.type) {
      case 'prepare':
        writePrepare(message, nowMs);
        break;
      case 'commit':
      case 'abort': {
        const outcome = writer.open(message.type === 'commit' ? 3 : 4);
        writer.text(1, message.trace ?? '');
        writer.close(outcome);
        break;
      }
      case 'pending':
        writer.close(writer.open(5));
        break;
      case 'enlistAnswer': {
        const answer = writer.open(6);
        if (message.refusal !== undefined) writeStatus(1, message.refusal);
        writer.close(answer);
        break;
      }
      case 'forget':
        writer.close(writer.open(7));
        break;
    }
    writer.close(start);
  }
  return writer.finish();
}

export function encodeResponseFrame({ clusterId, messages }: ResponseFrame): Buffer {
  writer.text(1, clusterId);
  for (const message of messages) {
    const start = writer.open(2);
    writeBranch(message.branch);
    switch (message.type) {
      case 'vote': {
        const vote = writer.open(2);
        writer.uint(1, WIRE_VOTES[message.vote]);
        if (message.cause !== undefined) writeStatus(2, message.cause);
        writer.close(vote);
        break;
      }
      case 'acknowledge': {
        const acknowledgement = writer.open(3);
        writer.uint(1, heuristicToWire(message.heuristic));
        writer.close(acknowledgement);
        break;
      }
      case 'inquire':
        writer.close(writer.open(4));
        break;
      case 'enlist': {
        const enlistment = writer.open(5);
        writer.uint(1, message.epoch);
        writer.close(enlistment);
        break;
      }
      case 'undelivered':
        writeStatus(6, message.failure);
        break;
    }
    writer.close(start);
  }
  return writer.finish();
}

function writeAttempt(field: number, { epoch, counter }: Attempt): void {
  const start = writer.open(field);
  writer.uint(1, epoch);
  writer.uint(2, counter);
  writer.close(start);
}

/** Without the cluster's id, which the frame holds. */
function writeBranch({ transactionId, attempt, coordinatorPartition, participant, partition }: BranchId): void {
  const start = writer.open(1);
  writer.text(2, transactionId);
  writeAttempt(3, attempt);
  writer.uint(4, coordinatorPartition);
  writer.text(5, participant);
  writer.uint(6, partition);
  writer.close(start);
}

function writePrepare(prepare: Prepare, nowMs: number): void {
  const start = writer.open(2);
  for (const { typeUrl, value } of prepare.operations) {
    const any = writer.open(2);
    writer.text(1, typeUrl);
    writer.bytes(2, value);
    writer.close(any);
  }
  writeMs(3, prepare.firstTryMs);
  writeMs(4, Math.max(0, prepare.deadlineMs - nowMs));
  if (prepare.readOnly) writer.uint(5, 1);
  if (prepare.workspace !== undefined) {
    writeAttempt(6, prepare.workspace.attempt);
    writer.uint(7, prepare.workspace.epoch);
  }
  writer.text(8, prepare.trace ?? '');
  writer.close(start);
}

/** google.protobuf.Timestamp and Duration look the same. */
function writeMs(field: number, ms: number): void {
  const start = writer.open(field);
  writer.uint(1, Math.floor(ms / 1000));
  writer.uint(2, Math.floor(ms % 1000) * 1_000_000);
  writer.close(start);
}

function writeStatus(field: number, failure: Failure): void {
  const bytes = Status.encode(failureToStatus(failure)).finish();
  writer.bytes(field, bytes);
}
