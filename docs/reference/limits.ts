/**
 * The tables of docs/limits.md. Every number comes from the code that holds the limit, and a table of limits
 * in the code does not compile here while one of its entries is neither told nor said to be nobody's concern.
 */

import { LIMITS as TRANSACTION, MAX_TIMEOUT_MS, MIN_TIMEOUT_MS } from '../../services/coordinator/handlers/validate.ts';
import { MAX_OUTSTANDING as EXECUTE_OUTSTANDING } from '../../services/coordinator/handlers/execute-stream.ts';
import { DEFAULT_TIMEOUT_MS } from '../../services/coordinator/handlers/plan.ts';
import { MAX_PREPARED } from '../../services/client/participant/branch-keeper.ts';
import { MAX_OUTSTANDING as ADD_OUTSTANDING } from '../../services/counter/handlers/add-stream.ts';
import { LIMITS as COUNTER_CALLS } from '../../services/counter/handlers/validate.ts';
import { DEFAULT_TRANSACTION_LIMIT } from '../../services/kernel/coordinator/state.ts';
import { MAX_SLOT } from '../../services/kernel/counter/int64.ts';
import { DEFAULT_COUNTER_SETTINGS, LIMITS as COUNTER } from '../../services/kernel/counter/types.ts';
import type { Reason } from '../../services/kernel/failure.ts';
import { MAX_DEPTH } from '../../services/kernel/keyvalue/merge.ts';
import { LIMITS as KEYS, MAX_HISTORY } from '../../services/kernel/keyvalue/types.ts';
import { DEFAULT_SETTINGS as BRANCHES, type ParticipantSettings } from '../../services/kernel/participant/types.ts';
import { DEFAULT_QUEUE_SETTINGS, LIMITS as QUEUE } from '../../services/kernel/queue/types.ts';
import { SESSION_TOKENS } from '../../services/kernel/queue/state.ts';
import { DEFAULT_SESSION_SETTINGS, MAX_AHEAD, type SessionSettings } from '../../services/kernel/sessions/types.ts';
import { FUTURE_BOUND_MS } from '../../services/kernel/transaction-id.ts';
import { LIMITS as KEY_CALLS } from '../../services/participant/handlers/validate.ts';
import { MESSAGE_LIMITS } from '../../services/queue/codec-messages.ts';
import { FRAME_MESSAGES, MAX_OUTSTANDING as PUBLISH_OUTSTANDING } from '../../services/queue/handlers/publish-stream.ts';
import { PUBLISH_BUDGET_BYTES } from '../../services/queue/handlers/service.ts';
import { CALL_LIMITS as QUEUE_CALLS, CONFIG_LIMITS } from '../../services/queue/handlers/validate.ts';
import { MAX_REGISTRATIONS, MAX_TTL_MS, MIN_TTL_MS } from '../../services/runtime/cluster/handlers.ts';
import { DEFAULT_QUEUE_LIMIT } from '../../services/runtime/partition/term.ts';
import { FULL_PART } from '../../services/runtime/router/capacity.ts';
import { WATCH_BUFFER } from '../../services/runtime/router/events.ts';
import { DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_ROUTING_KEY_BYTES, MAX_TYPE_URL_BYTES } from '../../services/runtime/router/rules.ts';
import { type AdmissionLimits, DEFAULT_ADMISSION_LIMITS } from '../../services/runtime/transport/admission.ts';
import { SETTINGS, type SettingName } from '../../services/settings/table.ts';
import { table } from './markdown.ts';
import { bytes, count, time } from './units.ts';

/** What becomes of that which passes a limit: it is refused with a reason, or what the text says. */
type End = Reason | { readonly text: string };

export interface Limit {
  readonly what: string;
  readonly limit: string;
  readonly end: End;
  /** What raises or lowers it; absent: nothing does. */
  readonly setting?: SettingName;
}

/** Of each entry of a table of limits in the code; 'inner': no caller ever meets it. */
type Told<Table> = { readonly [K in keyof Table]: Limit | 'inner' };

const limit = (what: string, value: string, end: End, setting?: SettingName): Limit => ({ what, limit: value, end, ...(setting !== undefined && { setting }) });
const otherwise = (text: string): End => ({ text });
const range = (least: string, most: string): string => `${least} to ${most}`;
const told = <Table>(table: Told<Table>): Limit[] => (Object.values(table) as (Limit | 'inner')[]).filter((entry) => entry !== 'inner');

const server: Told<AdmissionLimits> = {
  maxCalls: limit('Calls (not streams) under way at a server', SETTINGS.maxRequests.fallback!, 'OVERLOADED', 'maxRequests'),
  maxStreams: limit('Streams open at a server', count(DEFAULT_ADMISSION_LIMITS.maxStreams), 'OVERLOADED'),
  maxControlCalls: limit('Calls that end work under way: outcomes for branches, inquiries, registrations', count(DEFAULT_ADMISSION_LIMITS.maxControlCalls), 'OVERLOADED'),
  maxControlStreams: limit('Streams between replicas and participants (Exchange)', count(DEFAULT_ADMISSION_LIMITS.maxControlStreams), 'OVERLOADED'),
  maxSupportStreams: limit('Streams of health and reflection', count(DEFAULT_ADMISSION_LIMITS.maxSupportStreams), 'OVERLOADED'),
};

const SERVER: readonly Limit[] = [
  ...told(server),
  limit('A request, encoded', SETTINGS.maxMessage.fallback!.replace(/(?=[KMG])/, ' '), otherwise('gRPC’s own RESOURCE_EXHAUSTED; the SDK says `OVERLOADED`'), 'maxMessage'),
  limit('Requests that wait at one partition', count(DEFAULT_QUEUE_LIMIT), 'OVERLOADED'),
  limit('The store, when new work is refused', `${FULL_PART * 100} % full`, 'STORE_FULL', 'etcdQuota'),
  limit('Items of a page (`page_size`; 0 means the default)', `${count(MAX_PAGE_SIZE)}, default ${count(DEFAULT_PAGE_SIZE)}`, 'INVALID_FIELD'),
  limit('Events that wait for a watcher who is slow', count(WATCH_BUFFER), 'OVERLOADED'),
  limit('Name of a participant, a queue or a counter service: a-z, 0-9 and `-`, beginning with a letter', '63 characters', 'INVALID_FIELD'),
  limit('Participants of your own that are registered', count(MAX_REGISTRATIONS), 'OVERLOADED'),
  limit('Time to live of their registration', range(time(MIN_TTL_MS), time(MAX_TTL_MS)), 'INVALID_FIELD'),
];

const transaction: Told<typeof TRANSACTION> = {
  operations: limit('Operations of a transaction', count(TRANSACTION.operations), 'LIMIT_EXCEEDED'),
  branches: limit('Branches of a transaction: partitions of participants that it touches', count(TRANSACTION.branches), 'LIMIT_EXCEEDED'),
  branchBytes: limit('Operations of one branch, encoded', bytes(TRANSACTION.branchBytes), 'LIMIT_EXCEEDED'),
  calls: limit('Calls in one message of ExecuteStream', count(TRANSACTION.calls), 'LIMIT_EXCEEDED'),
};

const TRANSACTIONS: readonly Limit[] = [
  ...told(transaction),
  limit('Calls of one ExecuteStream under way', count(EXECUTE_OUTSTANDING), 'OVERLOADED'),
  limit('Timeout of a transaction', `${range(time(MIN_TIMEOUT_MS), time(MAX_TIMEOUT_MS))}, default ${time(DEFAULT_TIMEOUT_MS)}`, 'INVALID_FIELD'),
  limit('Routing key', bytes(MAX_ROUTING_KEY_BYTES), 'LIMIT_EXCEEDED'),
  limit('Type URL of an operation', bytes(MAX_TYPE_URL_BYTES), 'LIMIT_EXCEEDED'),
  limit('Unfinished transactions at one coordinator partition', count(DEFAULT_TRANSACTION_LIMIT), 'OVERLOADED'),
  limit('How far ahead of the server’s clock the time in a transaction’s id may be', time(FUTURE_BOUND_MS), 'TRANSACTION_ID_IN_FUTURE'),
  limit('How long an outcome is remembered by its id', SETTINGS.retention.fallback!, 'TRANSACTION_EXPIRED', 'retention'),
];

const branches: Told<Omit<ParticipantSettings, 'participant' | 'partition'>> = {
  lockWaitMs: limit('Wait for a lock', time(BRANCHES.lockWaitMs), 'LOCK_TIMEOUT'),
  maxLockWaiters: limit('Requests that wait for locks', count(BRANCHES.maxLockWaiters), 'LOCK_CONFLICT'),
  maxLocks: limit('Locks that are held', count(BRANCHES.maxLocks), 'OVERLOADED'),
  maxWaitingReads: limit('Reads that wait for an outcome', count(BRANCHES.maxWaitingReads), 'OVERLOADED'),
  maxPrepared: limit('Branches that are prepared', count(BRANCHES.maxPrepared), 'OVERLOADED'),
  maxWorkspaces: limit('Interactive transactions that are open', count(BRANCHES.maxWorkspaces), 'OVERLOADED'),
  maxWorkspaceBytes: limit('Bytes that they have staged', bytes(BRANCHES.maxWorkspaceBytes), 'OVERLOADED'),
  workspaceLifetimeMs: limit('Time between two calls of an interactive transaction', time(BRANCHES.workspaceLifetimeMs), 'WORKSPACE_LOST'),
  inquiryDelayMs: 'inner',
  inquiryCapMs: 'inner',
  urgentInquiryMs: 'inner',
  forgetIntervalMs: 'inner',
  forgetCount: 'inner',
  retentionMs: 'inner',
  numbersAbove: 'inner',
};

const PARTICIPANTS: readonly Limit[] = [
  ...told(branches),
  limit('Branches that are prepared at a participant of your own', count(MAX_PREPARED), 'OVERLOADED'),
];

const keys: Told<typeof KEYS> = {
  valueBytes: limit('Value', bytes(KEYS.valueBytes), 'LIMIT_EXCEEDED'),
  keyBytes: limit('Key, in UTF-8', bytes(KEYS.keyBytes), 'LIMIT_EXCEEDED'),
  contentTypeBytes: limit('Content type', bytes(KEYS.contentTypeBytes), 'LIMIT_EXCEEDED'),
  branchOperations: limit('Operations of a branch', count(KEYS.branchOperations), 'LIMIT_EXCEEDED'),
  branchBytes: limit('Values, keys and content types of a branch together', count(KEYS.branchBytes) + ' bytes', 'LIMIT_EXCEEDED'),
  commitOperations: limit('Store operations of a branch: 1 for each key that it changes, and up to 3 where earlier versions are kept', count(KEYS.commitOperations), 'LIMIT_EXCEEDED', 'history'),
  commitBytes: limit('Bytes that its commit writes, with the earlier versions', `${count(KEYS.commitBytes)} bytes`, 'LIMIT_EXCEEDED'),
};

const keyCalls: Told<typeof KEY_CALLS> = {
  valueBytes: 'inner',
  keyBytes: 'inner',
  contentTypeBytes: 'inner',
  localOperations: limit('Operations of ExecuteLocal', count(KEY_CALLS.localOperations), 'LIMIT_EXCEEDED'),
  keys: limit('Keys of BatchGet', count(KEY_CALLS.keys), 'LIMIT_EXCEEDED'),
};

const KEYS_LIMITS: readonly Limit[] = [
  ...told(keys),
  ...told(keyCalls),
  limit('Name of a collection: a-z, A-Z, 0-9, `_`, `-` and `.`', '64 characters', 'INVALID_FIELD'),
  limit('Depth of a JSON document that is merged', count(MAX_DEPTH), 'MERGE_CONFLICT'),
  limit('Earlier versions of a key that are kept', `${SETTINGS.history.fallback!}, at most ${count(MAX_HISTORY)}`, otherwise('older ones are removed'), 'history'),
];

const messages: Told<typeof MESSAGE_LIMITS> = {
  dataBytes: limit('Data of a message', bytes(MESSAGE_LIMITS.dataBytes), 'LIMIT_EXCEEDED'),
  attributes: limit('Attributes of a message', count(MESSAGE_LIMITS.attributes), 'LIMIT_EXCEEDED'),
  attributeKeyBytes: limit('Key of an attribute', bytes(MESSAGE_LIMITS.attributeKeyBytes), 'LIMIT_EXCEEDED'),
  attributeValueBytes: limit('Value of an attribute', bytes(MESSAGE_LIMITS.attributeValueBytes), 'LIMIT_EXCEEDED'),
  attributesBytes: limit('Attributes of a message together', bytes(MESSAGE_LIMITS.attributesBytes), 'LIMIT_EXCEEDED'),
  orderingKeyBytes: limit('Ordering key', bytes(MESSAGE_LIMITS.orderingKeyBytes), 'LIMIT_EXCEEDED'),
  priority: limit('Priority', range('0', count(MESSAGE_LIMITS.priority)), 'INVALID_FIELD'),
  deduplicationIdBytes: limit('Deduplication id', bytes(MESSAGE_LIMITS.deduplicationIdBytes), 'LIMIT_EXCEEDED'),
  traceparentBytes: limit('Traceparent', bytes(MESSAGE_LIMITS.traceparentBytes), 'LIMIT_EXCEEDED'),
  durationMs: limit('Delay, delivery time and time to live', time(MESSAGE_LIMITS.durationMs), 'INVALID_FIELD'),
};

const queueCalls: Told<typeof QUEUE_CALLS> = {
  publishMessages: limit('Messages of one Publish', count(QUEUE_CALLS.publishMessages), 'LIMIT_EXCEEDED'),
  publishBytes: limit('Their data together (`--max-message` counts first)', bytes(QUEUE_CALLS.publishBytes), 'LIMIT_EXCEEDED'),
  pullMessages: limit('Messages of one Pull', count(QUEUE_CALLS.pullMessages), 'INVALID_FIELD'),
  pullBytes: limit('Bytes of one Pull', bytes(QUEUE_CALLS.pullBytes), 'INVALID_FIELD'),
  pullWaitMs: limit('Wait of a Pull', time(QUEUE_CALLS.pullWaitMs), 'INVALID_FIELD'),
  ackIds: limit('Messages of one Acknowledge, ModifyAckDeadline or CheckDeliveries', count(QUEUE_CALLS.ackIds), 'LIMIT_EXCEEDED'),
  streamMessages: limit('`max_outstanding_messages` of a StreamingPull', count(QUEUE_CALLS.streamMessages), 'INVALID_FIELD'),
  streamBytes: limit('`max_outstanding_bytes` of a StreamingPull', bytes(QUEUE_CALLS.streamBytes), 'INVALID_FIELD'),
  leastDeadlineMs: limit('Acknowledgement deadline', range(time(QUEUE_CALLS.leastDeadlineMs), time(QUEUE_CALLS.mostDeadlineMs)), 'INVALID_FIELD'),
  mostDeadlineMs: 'inner',
};

const queueConfig: Told<typeof CONFIG_LIMITS> = {
  leastAgeMs: limit('Age that a topic keeps messages to (`max_age`)', range(time(CONFIG_LIMITS.leastAgeMs), time(CONFIG_LIMITS.mostAgeMs)), 'INVALID_FIELD'),
  mostAgeMs: 'inner',
  messages: limit('`max_messages` of a topic', range('1', count(CONFIG_LIMITS.messages)), 'INVALID_FIELD'),
  leastBytes: limit('`max_bytes` of a topic', range(bytes(CONFIG_LIMITS.leastBytes), bytes(CONFIG_LIMITS.mostBytes)), 'INVALID_FIELD'),
  mostBytes: 'inner',
  leastDeduplicationMs: limit('Deduplication window', range(time(CONFIG_LIMITS.leastDeduplicationMs), time(CONFIG_LIMITS.mostDeduplicationMs)), 'INVALID_FIELD'),
  mostDeduplicationMs: 'inner',
  filterBytes: limit('Filter of a subscription', bytes(CONFIG_LIMITS.filterBytes), 'LIMIT_EXCEEDED'),
  backoffMs: limit('Backoffs of a retry policy', time(CONFIG_LIMITS.backoffMs), 'INVALID_FIELD'),
  deliveryAttempts: limit('`max_delivery_attempts` of a dead-letter policy', range('1', count(CONFIG_LIMITS.deliveryAttempts)), 'INVALID_FIELD'),
  leastAgeingMs: limit('Ageing step', range(time(CONFIG_LIMITS.leastAgeingMs), time(CONFIG_LIMITS.mostAgeingMs)), 'INVALID_FIELD'),
  mostAgeingMs: 'inner',
  leastSnapshotMs: limit('Life of a snapshot', range(time(CONFIG_LIMITS.leastSnapshotMs), time(CONFIG_LIMITS.mostSnapshotMs)), 'INVALID_FIELD'),
  mostSnapshotMs: 'inner',
};

const queue: Told<typeof QUEUE> = {
  messageBytes: 'inner',
  requestBytes: 'inner',
  requestMessages: 'inner',
  segmentBytes: 'inner',
  segmentMessages: 'inner',
  branchOperations: limit('Operations of a branch', count(QUEUE.branchOperations), 'LIMIT_EXCEEDED'),
  branchBytes: 'inner',
  topics: limit('Topics of a queue service', count(QUEUE.topics), 'TOO_MANY_OBJECTS'),
  subscriptions: limit('Subscriptions of a queue service', count(QUEUE.subscriptions), 'TOO_MANY_OBJECTS'),
  snapshots: limit('Snapshots of a queue service', count(QUEUE.snapshots), 'TOO_MANY_OBJECTS'),
  topicHolders: limit('Subscriptions and snapshots of one topic', count(QUEUE.topicHolders), 'TOO_MANY_OBJECTS'),
  deduplicationIds: limit('Deduplication ids that a topic remembers, at one partition', count(QUEUE.deduplicationIds), 'OVERLOADED'),
  subscriptionPulls: limit('Pulls that wait at a subscription, at one partition', count(QUEUE.subscriptionPulls), 'OVERLOADED'),
  pulls: limit('Pulls that wait at one partition', count(QUEUE.pulls), 'OVERLOADED'),
  outstanding: limit('Messages of a subscription that are out, at one partition', count(QUEUE.outstanding), otherwise('none is delivered until some are settled')),
  exactlyOnceOutstanding: limit('The same with exactly-once delivery', count(QUEUE.exactlyOnceOutstanding), otherwise('none is delivered until some are settled')),
  tags: 'inner',
  blockedPublishes: limit('Publishes that wait for ordering keys of prepared transactions, at one partition', count(QUEUE.blockedPublishes), 'OVERLOADED'),
  pausedKeys: 'inner',
  snapshotRanges: limit('Gaps in what a snapshot remembers, at one partition', count(QUEUE.snapshotRanges), otherwise('what is beyond counts as not acknowledged')),
};

const QUEUES: readonly Limit[] = [
  ...told(messages),
  ...told(queueCalls),
  limit('Messages in one message of PublishStream', count(FRAME_MESSAGES), 'LIMIT_EXCEEDED'),
  limit('Messages of one PublishStream that are unanswered', count(PUBLISH_OUTSTANDING), 'OVERLOADED'),
  limit('Executed publishes that a session has not settled, at one partition', count(SESSION_TOKENS), 'OVERLOADED'),
  limit('Name of a topic, a subscription or a snapshot: a-z, A-Z, 0-9, `_`, `-` and `.`', '128 characters', 'INVALID_FIELD'),
  ...told(queueConfig),
  ...told(queue),
  limit('Wait for an ordering key that a prepared transaction holds', time(DEFAULT_QUEUE_SETTINGS.keyWaitMs), 'LOCK_TIMEOUT'),
  limit('Messages of all memory topics at one partition', bytes(DEFAULT_QUEUE_SETTINGS.memoryBytes), 'OVERLOADED'),
  limit('Bytes that a server has taken and not yet published', bytes(PUBLISH_BUDGET_BYTES), 'OVERLOADED'),
];

const counters: Told<typeof COUNTER> = {
  nameBytes: limit('Name of a counter, in UTF-8', bytes(COUNTER.nameBytes), 'LIMIT_EXCEEDED'),
  counters: limit('Counters of a branch', count(COUNTER.counters), 'LIMIT_EXCEEDED'),
  operations: limit('Operations of a branch', count(COUNTER.operations), 'LIMIT_EXCEEDED'),
  adds: 'inner',
  components: limit('Components of a replicated counter: partitions of its service in all clusters', count(COUNTER.components), 'LIMIT_EXCEEDED'),
  configurations: 'inner',
  shards: limit('Shards of a sharded counter', range('1', count(COUNTER.shards)), 'INVALID_FIELD'),
  states: 'inner',
  moving: 'inner',
};

const counterCalls: Told<typeof COUNTER_CALLS> = {
  adds: limit('Adds of one BatchAdd, and of one message of AddStream', count(COUNTER_CALLS.adds), 'LIMIT_EXCEEDED'),
  counters: limit('Counters of one BatchGet', count(COUNTER_CALLS.counters), 'LIMIT_EXCEEDED'),
  watched: limit('Counters of one Watch', count(COUNTER_CALLS.watched), 'LIMIT_EXCEEDED'),
  states: limit('Counters of one MergeState', count(COUNTER_CALLS.states), 'LIMIT_EXCEEDED'),
  maxAgeMs: limit('`max_age` of a read', time(COUNTER_CALLS.maxAgeMs), 'INVALID_FIELD'),
};

const sessions: Told<Omit<SessionSettings, 'resultBytes' | 'scopeBytes'>> = {
  retentionMs: limit('How long an idle session is remembered; of publishes too', SETTINGS.retention.fallback!, 'SESSION_EXPIRED', 'retention'),
  maxSessionTokens: limit('Executed adds that a session has not settled, at one partition', count(DEFAULT_SESSION_SETTINGS.maxSessionTokens), 'OVERLOADED'),
  maxTokens: limit('The same of all sessions together', count(DEFAULT_SESSION_SETTINGS.maxTokens), 'OVERLOADED'),
  maxSessions: limit('Sessions at one partition', count(DEFAULT_SESSION_SETTINGS.maxSessions), 'OVERLOADED'),
  maxScopeSessions: limit('Sessions that have added to one slot of a sharded counter', count(DEFAULT_SESSION_SETTINGS.maxScopeSessions), 'OVERLOADED'),
  maxScopeTokens: limit('Executed adds in one slot that are not settled', count(DEFAULT_SESSION_SETTINGS.maxScopeTokens), 'OVERLOADED'),
};

const COUNTERS: readonly Limit[] = [
  limit('Values and amounts', '64 bits, signed', 'COUNTER_OVERFLOW'),
  limit('Part of a sharded counter’s value in one of its 64 slots', `±${count(MAX_SLOT)}`, 'COUNTER_OVERFLOW'),
  ...told(counters),
  ...told(counterCalls),
  limit('Adds of one AddStream under way', count(ADD_OUTSTANDING), 'OVERLOADED'),
  limit('Batches of adds to queued counters that wait to be rolled up, at one partition', count(DEFAULT_COUNTER_SETTINGS.maxEvents), 'OVERLOADED'),
  ...told(sessions),
  limit('How far a sequence may be ahead of `settled_below`; of publishes too', count(MAX_AHEAD), 'INVALID_FIELD'),
  limit('How far ahead of the server’s clock the time in a session’s id may be; of publishes too', time(FUTURE_BOUND_MS), 'SESSION_IN_FUTURE'),
];

/** By the name of the table. */
export const LIMITS: Readonly<Record<string, readonly Limit[]>> = {
  Servers: SERVER,
  Transactions: TRANSACTIONS,
  'One partition of a participant': PARTICIPANTS,
  Keys: KEYS_LIMITS,
  Queues: QUEUES,
  Counters: COUNTERS,
};

export function limitTables(): Record<string, string> {
  const cells = ({ what, limit: value, end, setting }: Limit): string[] => [
    what,
    value,
    typeof end === 'string' ? `\`${end}\`` : end.text,
    setting === undefined ? '—' : `\`--${SETTINGS[setting].flag}\``,
  ];
  const tables = Object.entries(LIMITS).map(([name, limits]) => [name, table(['what', 'limit', 'beyond it', 'setting'], limits.map(cells))]);
  return Object.fromEntries(tables) as Record<string, string>;
}
