/**
 * Watch: for each partition the log of changes from the revision on, then what happens. Every
 * partition begins with an empty answer that states the revision from which it is watched, and says
 * so again from time to time where nothing of interest changes.
 */

import {
  type KeyEvent,
  KeyValueServiceService,
  type WatchRequest,
  type WatchResponse,
} from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { nameOf } from '../../kernel/keyvalue/keys.ts';
import { FailureError } from '../../runtime/errors/failure-error.ts';
import { ask, serviceOfKind, validate, waitUntilMs } from '../../runtime/participant/service.ts';
import { follow, FROM_NOW, merge, type Start } from '../../runtime/router/follow.ts';
import type { CallContext } from '../../runtime/transport/service.ts';
import { compactedThrough, readChanges, replay } from './change-log.ts';
import type { KeyValueTerm, KeyValueServices } from './service.ts';
import { watchRequest } from './validate.ts';
import { toEntry } from '../codec-keyvalue.ts';

/** Most events, and about how many bytes, of one answer. */
const EVENTS = 256;
const ANSWER_BYTES = 1024 * 1024;
/** A watcher of quiet keys hears of its position after this many revisions. */
const QUIET_REVISIONS = 1000;

/** A place in a request that is watched, and what is asked of it. */
interface Watched {
  readonly participant: string;
  readonly partition: number;
  readonly wants: (name: string) => boolean;
}

export function watchKeys(services: KeyValueServices, request: WatchRequest, context: CallContext): AsyncGenerator<WatchResponse> {
  const { participant, collection, prefix } = request;
  const { partitions } = serviceOfKind(services, participant);
  validate(watchRequest(partitions), request);
  const { forwarded, traceparent, deadlineMs, peer, metadata } = context;
  const named = new Map(request.revisions.map(({ partition, revision }) => [partition, revision]));
  const all = Array.from({ length: partitions }, (_, i) => i);
  // A forwarded watch is of the partitions that it names.
  const watched = forwarded ? all.filter((partition) => named.has(partition)) : all;
  const wants = (name: string): boolean =>
    collection === '' ? name.startsWith(prefix, name.indexOf('/') + 1) : name.startsWith(nameOf(collection, prefix));
  return merge(context.signal, (signal) =>
    watched.map((partition) => {
      const from = named.get(partition);
      return follow<KeyValueTerm, WatchResponse>(services.router, {
        service: participant,
        partition,
        start: from === undefined || (forwarded && from === FROM_NOW) ? 'now' : { after: from },
        forwarded,
        signal,
        local: (term, start) =>
          watchPartition(services, term, { participant, partition, wants }, start, { signal, traceparent, deadlineMs, peer, metadata, forwarded }),
        remote: (leader, start) => {
          const revision = typeof start === 'object' ? start.after : FROM_NOW;
          const part: WatchRequest = { ...request, revisions: [{ partition, revision }] };
          const options = { signal, traceparent, forwarded: true };
          return services.router.channels.stream(leader.address, KeyValueServiceService.watch, part, options);
        },
        position: (response) => response.revision!.revision,
      });
    }),
  );
}

async function* watchPartition(
  services: KeyValueServices,
  term: KeyValueTerm,
  watched: Watched,
  start: Start,
  context: CallContext,
): AsyncGenerator<WatchResponse> {
  const { participant, partition, wants } = watched;
  const subscription = term.events.subscribe();
  const close = (): void => subscription.close();
  context.signal.addEventListener('abort', close);
  try {
    // Once this is answered, all that was changed before events were made for us is in the log.
    const { revision: last } = await ask(services, term, 'read', context, false, (origin) => ({
      type: 'read',
      origin,
      query: { type: 'keys' as const, names: [] },
      consistency: 'eventual',
      deadlineMs: waitUntilMs(services, context),
    }));
    let position = typeof start === 'object' ? start.after : last;
    requireKept(watched, position, await compactedThrough(services, participant, partition), last);
    let told = position;
    yield { events: [], revision: { partition, revision: position } };
    while (position < last) {
      const batches = await readChanges(services, participant, partition, position);
      // Checked after the reading: what was removed meanwhile is missing from it.
      requireKept(watched, position, await compactedThrough(services, participant, partition), last);
      if (batches.length === 0) break;
      for (const { revision, changes } of batches) {
        const wanted = changes.filter(({ name }) => wants(name));
        const replayed = await replay(services, participant, partition, wanted);
        const events = replayed.map(({ change, entry }): KeyEvent => {
          if (entry !== undefined) return { entry: toEntry(entry), superseded: false };
          const nothing = { name: change.name, value: undefined, contentType: '', version: change.version, updateMs: 0 };
          return { entry: { ...toEntry(nothing), absent: false }, superseded: true };
        });
        for (const answer of answers(partition, told, revision, position, events)) {
          yield answer;
          told = answer.revision!.revision;
        }
        position = revision;
      }
    }
    for (;;) {
      for (const { revision, entries } of await subscription.next()) {
        if (revision <= position) continue;
        const events = entries.filter(({ name }) => wants(name)).map((entry): KeyEvent => ({ entry: toEntry(entry), superseded: false }));
        for (const answer of answers(partition, told, revision, position, events)) {
          yield answer;
          told = answer.revision!.revision;
        }
        position = revision;
      }
    }
  } finally {
    context.signal.removeEventListener('abort', close);
    subscription.close();
  }
}

/** A batch's events; only the last answer says that the batch is through. */
function* answers(
  partition: number,
  told: number,
  revision: number,
  before: number,
  events: readonly KeyEvent[],
): Generator<WatchResponse> {
  if (events.length === 0 && revision - told >= QUIET_REVISIONS) yield { events: [], revision: { partition, revision } };
  let part: KeyEvent[] = [];
  let bytes = 0;
  for (let i = 0; i < events.length; i++) {
    part.push(events[i]!);
    bytes += events[i]!.entry!.value.length;
    const last = i === events.length - 1;
    if (!last && part.length < EVENTS && bytes < ANSWER_BYTES) continue;
    yield { events: part, revision: { partition, revision: last ? revision : before } };
    part = [];
    bytes = 0;
  }
}

function requireKept({ participant, partition }: Watched, position: number, compacted: number, last: number): void {
  const metadata = { participant, partition: String(partition), oldest: String(compacted), newest: String(last) };
  if (position < compacted)
    throw new FailureError({
      reason: 'POSITION_COMPACTED',
      message:
        `changes after revision ${position} of partition ${partition} of ${participant} are no longer kept; ` +
        `the oldest revision to continue after is ${compacted}`,
      metadata,
    });
  if (position > last) {
    const description = `${position} is ahead of partition ${partition}'s revision, ${last}`;
    throw new FailureError({
      reason: 'INVALID_FIELD',
      message: `revision ${description}`,
      violations: [{ field: 'revisions', description }],
      metadata,
    });
  }
}
