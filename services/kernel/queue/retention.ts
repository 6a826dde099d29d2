/**
 * What a topic does not keep: messages that are too old or have expired, segments that everybody has
 * acknowledged, the oldest where there is no room. Bounded per step (invariants Q2, Q3, Q9).
 */

import type { Cost } from '../kernel.ts';
import { payloadKey, segmentKey } from './keys.ts';
import type { Segment } from './segments.ts';
import type { QueueState } from './state.ts';
import type { Topic } from './topic.ts';
import { LIMITS } from './types.ts';

/** Messages that one step lets expire, or drops for their age one by one. */
const EXPIRED_PER_STEP = 1024;
/** Segments that one step removes, in so many runs of neighbours. */
const SEGMENTS_PER_STEP = 4096;
const RUNS_PER_STEP = 8;
/** So many segments that nobody needs are removed at once; fewer, after a while. */
const OBSOLETE_AT_ONCE = 32;
const OBSOLETE_WAIT_MS = 1000;
/** What a prepared transaction holds up is looked at again after this long. */
const BLOCKED_MS = 1000;
const KEY_BYTES = 400;
const POSITION_BYTES = 9;

export const COLLECT_COST: Cost = {
  // Runs of segments and of their messages; a range of deduplication ids; the log of what is gone.
  operations: 2 * RUNS_PER_STEP + 2,
  bytes: (4 * RUNS_PER_STEP + 3) * KEY_BYTES + (2 * EXPIRED_PER_STEP + LIMITS.segmentMessages) * POSITION_BYTES,
};

/** When {@link collect} has something to do; undefined: never. */
function collectAtMs(topic: Topic, nowMs: number): number | undefined {
  const { config, segments, obsolete, expiries, deduplication } = topic;
  const { first, last } = segments;
  let atMs = Math.min(expiries.nextMs() ?? Infinity, deduplication.dueMs(config.deduplicationWindowMs) ?? Infinity);
  if (first !== undefined && (first !== last || topic.live > 0)) atMs = Math.min(atMs, first.publishMs + config.maxAgeMs);
  // The last segment stays: it tells which positions were used.
  const removable = obsolete.size - (last !== undefined && obsolete.has(last) ? 1 : 0);
  if (removable > 0) {
    const many = removable >= OBSOLETE_AT_ONCE && config.acknowledgedAgeMs === 0 && (obsolete.has(first!) || isWorthwhile(topic));
    if (many || topic.storedBytes > topic.byteLimit) atMs = nowMs;
    else {
      const keptUntilMs = config.acknowledgedAgeMs === 0 ? 0 : oldestOf(obsolete).publishMs + config.acknowledgedAgeMs;
      atMs = Math.min(atMs, Math.max(topic.obsoleteSinceMs + OBSOLETE_WAIT_MS, keptUntilMs));
    }
  }
  return atMs === Infinity ? undefined : Math.max(atMs, topic.blockedUntilMs);
}

/** Sets the timer for what there is to collect. */
export function schedule(topic: Topic, { nowMs, timers }: QueueState): void {
  if (topic.obsolete.size === 0) topic.obsoleteSinceMs = 0;
  else if (topic.obsoleteSinceMs === 0) topic.obsoleteSinceMs = nowMs;
  const atMs = collectAtMs(topic, nowMs);
  if (atMs === undefined) timers.cancel(topic);
  else if (topic.timerIndex < 0 || topic.dueMs !== atMs) timers.set(topic, atMs);
}

/** One step. */
export function collect(topic: Topic, state: QueueState): void {
  const { nowMs, out } = state;
  expire(topic, nowMs);
  dropAged(topic, nowMs);
  topic.deduplication.collect(topic.config.deduplicationWindowMs, nowMs, out);
  removeSegments(topic, state);
  // Whatever is due and still there is held by a prepared transaction, or waits for the next step.
  const atMs = collectAtMs(topic, nowMs) ?? Infinity;
  if (atMs <= nowMs && isHeldUp(topic, nowMs)) topic.blockedUntilMs = nowMs + BLOCKED_MS;
  topic.obsoleteSinceMs = topic.obsolete.size === 0 ? 0 : nowMs;
  state.touched.add(topic);
}

function isHeldUp(topic: Topic, nowMs: number): boolean {
  const { first } = topic.segments;
  return first !== undefined && first.staged > 0 && first.publishMs + topic.config.maxAgeMs <= nowMs;
}

/** Messages whose time to live is over. One that is out is looked at again when it comes back. */
function expire(topic: Topic, nowMs: number): void {
  for (let i = 0; i < EXPIRED_PER_STEP; i++) {
    const position = topic.expiries.takeDue(nowMs);
    if (position === undefined) return;
    if (!topic.isStaged(position) && !isOut(topic, position)) topic.drop(position);
  }
}

function isOut(topic: Topic, position: number): boolean {
  for (const subscription of topic.subscriptions) if (subscription.outstanding.has(position)) return true;
  return false;
}

/** Messages that are older than the topic keeps any. The last segment stays, without its messages. */
function dropAged(topic: Topic, nowMs: number): void {
  const { segments, config } = topic;
  for (let dropped = 0; dropped < EXPIRED_PER_STEP; ) {
    const segment = firstLive(topic, nowMs - config.maxAgeMs);
    if (segment === undefined || segment === topic.open) return;
    if (segment.staged > 0) return;
    for (let position = segment.first; position < segment.end; position++) topic.drop(position);
    dropped += segment.count;
    if (segment === segments.last) return;
  }
}

/** The first segment of this time or before with a message that somebody has not acknowledged. */
function firstLive(topic: Topic, throughMs: number): Segment | undefined {
  for (const segment of topic.segments) {
    if (segment.publishMs > throughMs) return undefined;
    if (segment.remaining > 0) return segment;
  }
  return undefined;
}

/** Whether segments are to be removed from between others. */
function isWorthwhile({ obsolete, segments }: Topic): boolean {
  return obsolete.size >= OBSOLETE_AT_ONCE + segments.length / 16;
}

function removeSegments(topic: Topic, state: QueueState): void {
  const { segments, obsolete, config } = topic;
  const removed = new Set<Segment>();
  let runs = 0;
  let overBytes = topic.storedBytes - topic.byteLimit;
  // From the front, as they mostly are; elsewhere only where there are enough of them to be worth it.
  const interior = isWorthwhile(topic) || overBytes > 0;
  let end = -1;
  for (const segment of segments) {
    if (removed.size === SEGMENTS_PER_STEP || segment === segments.last) break;
    const over = segment.publishMs + config.acknowledgedAgeMs <= state.nowMs || segment.publishMs + config.maxAgeMs <= state.nowMs || overBytes > 0;
    if (!obsolete.has(segment) || !over) {
      if (interior) continue;
      break;
    }
    if (segment.first !== end && ++runs > RUNS_PER_STEP) break;
    end = segment.end;
    overBytes -= segment.bytes;
    removed.add(segment);
  }
  if (removed.size === 0) return;
  if (topic.isDurable) removeRecords(topic, removed, state);
  for (const segment of removed) {
    obsolete.delete(segment);
    if (!segment.kept) continue;
    topic.storedBytes -= segment.bytes;
    if (topic.isDurable) state.payloads.forget(segment);
    else state.memoryBytes -= segment.bytes;
  }
  if (interior) {
    segments.remove(removed);
    for (const { first, end: after } of removed) topic.gone.acknowledged.addRange(first, after - 1);
  } else for (let i = removed.size; i > 0; i--) segments.shift();
  topic.raiseGone();
}

function removeRecords({ config }: Topic, removed: ReadonlySet<Segment>, { out }: QueueState): void {
  const remove = (first: number, last: number): void => {
    if (first === last) {
      out.remove(segmentKey(config.name, first));
      out.remove(payloadKey(config.name, first));
    } else {
      out.removeRange(segmentKey(config.name, first), segmentKey(config.name, last + 1));
      out.removeRange(payloadKey(config.name, first), payloadKey(config.name, last + 1));
    }
  };
  let first: Segment | undefined;
  let last: Segment | undefined;
  for (const segment of removed) {
    if (last !== undefined && segment.first === last.end) {
      last = segment;
      continue;
    }
    if (first !== undefined) remove(first.first, last!.first);
    first = last = segment;
  }
  remove(first!.first, last!.first);
}

function oldestOf(segments: ReadonlySet<Segment>): Segment {
  for (const segment of segments) return segment;
  throw new Error('an empty set has no oldest segment');
}
