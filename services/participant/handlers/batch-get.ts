/**
 * BatchGet. Keys of one partition are read in one step, so at one moment. Keys of several partitions
 * are linearizable key by key; serializable, they are read twice: a key that has the same version in
 * both rounds has not changed between them, so all of them were so at any moment between the end of
 * the first round and the beginning of the second. A transaction that had committed at one partition
 * and not yet at another would hold its keys there, and linearizable reads wait for it (invariant K5).
 *
 * Versions only grow and are never reused (K1), but an absent key whose deletion is not remembered has
 * version 0 again: for such a key the log of changes must not name it between the rounds.
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
import type { CallContext } from '../../runtime/transport/service.ts';
import { changedBetween } from './change-log.ts';
import { ask, partitionOfKey, waitUntilMs, type KeyValueTerm, type ParticipantServices } from './service.ts';
import { toEntry } from '../codec-keyvalue.ts';

/** Most rounds of reading before the keys are said to change too fast. */
const ROUNDS = 10;

/** The keys of one partition, and where they are in the request. */
interface Part {
  readonly partition: number;
  readonly request: BatchGetRequest;
  readonly places: number[];
}

interface PartRead {
  readonly entries: readonly Entry[];
  /** The partition's revision at the moment of the read. */
  readonly revision: number;
}

export async function batchGet(
  services: ParticipantServices,
  service: Service,
  request: BatchGetRequest,
  context: CallContext,
): Promise<BatchGetResponse> {
  const parts = partsOf(service, request);
  const readAll = (): Promise<PartRead[]> => Promise.all(parts.map((part) => readPart(services, part, context)));
  let reads = await readAll();
  if (context.forwarded) return { entries: [...reads[0]!.entries, revisionEntry(reads[0]!.revision)] };
  if (request.consistency === Consistency.SERIALIZABLE && parts.length > 1) {
    for (let round = 2; ; round++) {
      const again = await readAll();
      if (await unchanged(services, parts, reads, again)) break;
      if (round === ROUNDS) throw new FailureError(changingTooFast(request));
      reads = again;
    }
  }
  const entries: Entry[] = [];
  parts.forEach(({ places }, i) => places.forEach((place, j) => (entries[place] = reads[i]!.entries[j]!)));
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

async function readPart(services: ParticipantServices, { partition, request }: Part, context: CallContext): Promise<PartRead> {
  const method = KeyValueServiceService.batchGet;
  const route = { service: request.participant, partition, method, request, context, changes: false };
  const { entries } = await services.router.unary(route, (term) => readHere(services, term, request, context));
  const revision = entries.at(-1)!.version;
  return { entries: entries.slice(0, -1), revision };
}

/** Between replicas an answer ends with an entry without a name, whose version is the partition's revision. */
async function readHere(
  services: ParticipantServices,
  term: KeyValueTerm,
  { keys, consistency }: BatchGetRequest,
  context: CallContext,
): Promise<BatchGetResponse> {
  const names = keys.map(({ collection, key }) => nameOf(collection, key));
  const { answer, revision } = await ask(services, term, 'read', context, false, (origin) => ({
    type: 'read',
    origin,
    query: { type: 'keys', names },
    consistency: consistency === Consistency.EVENTUAL ? 'eventual' : 'linearizable',
    deadlineMs: waitUntilMs(services, context),
  }));
  return { entries: [...answer.entries.map(toEntry), revisionEntry(revision)] };
}

function revisionEntry(version: number): Entry {
  return { collection: '', key: '', value: new Uint8Array(0), contentType: '', version, absent: true, updateTime: undefined };
}

async function unchanged(
  services: ParticipantServices,
  parts: readonly Part[],
  first: readonly PartRead[],
  second: readonly PartRead[],
): Promise<boolean> {
  for (let i = 0; i < parts.length; i++) {
    const [before, after] = [first[i]!, second[i]!];
    const forgettable = new Set<string>();
    for (let j = 0; j < before.entries.length; j++) {
      const [a, b] = [before.entries[j]!, after.entries[j]!];
      if (a.version !== b.version || a.absent !== b.absent) return false;
      if (a.absent && a.version === 0) forgettable.add(nameOf(a.collection, a.key));
    }
    if (forgettable.size === 0 || before.revision === after.revision) continue;
    const { participant } = parts[i]!.request;
    if (await changedBetween(services, participant, parts[i]!.partition, before.revision, after.revision, forgettable)) return false;
  }
  return true;
}

function changingTooFast({ participant, keys }: BatchGetRequest) {
  return {
    reason: 'LOCK_CONFLICT' as const,
    message: `the ${keys.length} keys of ${participant} changed during each of ${ROUNDS} rounds of reading; try again, with fewer keys at a time`,
  };
}
