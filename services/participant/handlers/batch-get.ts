/**
 * BatchGet. Keys of one partition are read in one step, so at one moment. Keys of several partitions
 * are linearizable key by key; serializable, they are read twice: a key that has the same version in
 * both rounds has not changed between them, so all of them were so at any moment between the end of
 * the first round and the beginning of the second. A transaction that had committed at one partition
 * and not yet at another would hold its keys there, and linearizable reads wait for it (invariant K5).
 *
 * Versions only grow and are never reused (K1), those of absent keys too: the same one twice means that
 * nothing has changed between.
 */

import {
  type BatchGetRequest,
  type BatchGetResponse,
  Consistency,
  type Entry,
  KeyValueServiceService,
} from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { nameOf } from '../../kernel/keyvalue/keys.ts';
import type { Service } from '../../runtime/cluster/view.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { ask, waitUntilMs } from '../../runtime/participant/service.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { partitionOfKey, type KeyValueTerm, type KeyValueServices } from './service.ts';
import { toEntry } from '../codec-keyvalue.ts';

/** Most rounds of reading before the keys are said to change too fast. */
const ROUNDS = 10;

/** The keys of one partition, and where they are in the request. */
interface Part {
  readonly partition: number;
  readonly request: BatchGetRequest;
  readonly places: number[];
}

export async function batchGet(
  services: KeyValueServices,
  service: Service,
  request: BatchGetRequest,
  context: CallContext,
): Promise<BatchGetResponse> {
  const parts = partsOf(service, request);
  const readAll = (): Promise<(readonly Entry[])[]> => Promise.all(parts.map((part) => readPart(services, part, context)));
  let reads = await readAll();
  if (request.consistency === Consistency.SERIALIZABLE && parts.length > 1) {
    for (let round = 2; ; round++) {
      const again = await readAll();
      if (isUnchanged(reads, again)) break;
      if (round === ROUNDS) throw new FailureError(changingTooFast(request));
      reads = again;
    }
  }
  const entries: Entry[] = [];
  parts.forEach(({ places }, i) => places.forEach((place, j) => (entries[place] = reads[i]![j]!)));
  return { entries };
}

function partsOf(service: Service, request: BatchGetRequest): Part[] {
  const parts = new Map<number, Part>();
  request.keys.forEach((key, place) => {
    const partition = partitionOfKey(service, key.key);
    let part = parts.get(partition);
    if (part === undefined) {
      part = { partition, request: { ...request, keys: [] }, places: [] };
      parts.set(partition, part);
    }
    part.request.keys.push(key);
    part.places.push(place);
  });
  return [...parts.values()];
}

async function readPart(
  services: KeyValueServices,
  { partition, request }: Part,
  context: CallContext,
): Promise<readonly Entry[]> {
  const method = KeyValueServiceService.batchGet;
  const route = { service: request.participant, partition, method, request, context, changes: false };
  const { entries } = await services.router.unary(route, (term) => readHere(services, term, request, context));
  return entries;
}

async function readHere(
  services: KeyValueServices,
  term: KeyValueTerm,
  { keys, consistency }: BatchGetRequest,
  context: CallContext,
): Promise<BatchGetResponse> {
  const names = keys.map(({ collection, key }) => nameOf(collection, key));
  const { answer } = await ask(services, term, 'read', context, false, (origin) => ({
    type: 'read',
    origin,
    query: { type: 'keys' as const, names },
    consistency: consistency === Consistency.EVENTUAL ? 'eventual' : 'linearizable',
    deadlineMs: waitUntilMs(services, context),
  }));
  return { entries: answer.entries.map(toEntry) };
}

function isUnchanged(first: readonly (readonly Entry[])[], second: readonly (readonly Entry[])[]): boolean {
  return first.every((entries, i) =>
    entries.every(({ version, absent }, j) => second[i]![j]!.version === version && second[i]![j]!.absent === absent),
  );
}

function changingTooFast({ participant, keys }: BatchGetRequest) {
  return {
    reason: 'LOCK_CONFLICT' as const,
    message: `the ${keys.length} keys of ${participant} changed during each of ${ROUNDS} rounds of reading; try again, with fewer keys at a time`,
  };
}
