/**
 * The panels of the dashboards that may show nothing, or nothing but 0, after the load, each with the reason. All
 * others must show what it did.
 */

export interface Still {
  /** `zero`: a line at 0; `nothing`: not even that, where the first of what is counted begins the line. */
  readonly shows: 'zero' | 'nothing';
  readonly because: string;
  /** What must move it. */
  readonly until?: 'faults';
}

const WELL = 'nothing is wrong';
const CHANCE = 'it is over in milliseconds, and a scrape meets it by chance';
const CONFLICT = 'callers may be lucky';
const LEADERS: Still = { shows: 'zero', because: 'nobody loses what it leads', until: 'faults' };
const FAILURES: Still = { shows: 'nothing', because: WELL };

export const STILL: Readonly<Record<string, Still>> = {
  'overview: Is it well?: Alerts that fire': { shows: 'zero', because: WELL, until: 'faults' },
  'overview: Is it well?: Partitions without a leader': { shows: 'zero', because: WELL },
  'overview: Is it well?: Longest in doubt': { shows: 'zero', because: CHANCE },
  'overview: Is it well?: Requests that fail': { shows: 'zero', because: WELL },
  'overview: Requests: Share that fails': { shows: 'zero', because: WELL },
  'overview: Requests: Calls refused': { shows: 'zero', because: 'nobody asks for too much' },
  'overview: Transactions: Aborts': { shows: 'nothing', because: CONFLICT, until: 'faults' },
  'overview: Transactions: In doubt': { shows: 'zero', because: CHANCE },
  'overview: Queues and counters: Longest backlogs': { shows: 'zero', because: CHANCE },
  'overview: Queues and counters: Counters behind': { shows: 'zero', because: 'strong counters never are' },
  'overview: Partitions and their store: Leadership changes': LEADERS,
  'overview: Partitions and their store: Failures of the store': { shows: 'zero', because: WELL },
  'coordinator: Transactions: Aborts': { shows: 'nothing', because: CONFLICT, until: 'faults' },
  'coordinator: Under way: Open transactions': { shows: 'zero', because: CHANCE },
  'coordinator: Under way: Oldest that is not acknowledged': { shows: 'zero', because: CHANCE },
  'coordinator: Requests: Requests that fail': FAILURES,
  'coordinator: Partitions and their store: Leadership changes': LEADERS,
  'participants: Branches: Prepared': { shows: 'zero', because: CHANCE },
  'participants: Branches: In doubt': { shows: 'zero', because: CHANCE },
  'participants: Branches: Forced outcomes': { shows: 'zero', because: 'no operator forces any' },
  'participants: Locks and conflicts: Conflicts': { shows: 'zero', because: CONFLICT, until: 'faults' },
  'participants: Locks and conflicts: Requests that wait for a lock': { shows: 'zero', because: CHANCE },
  'participants: Locks and conflicts: Waits for locks': { shows: 'nothing', because: CONFLICT },
  'participants: Requests: Requests that fail': FAILURES,
  'participants: Partitions and their store: Leadership changes': LEADERS,
  'queue: What waits: Backlog': { shows: 'zero', because: CHANCE },
  'queue: What waits: Longest wait of a message': { shows: 'zero', because: CHANCE },
  'queue: What waits: In flight': { shows: 'zero', because: CHANCE },
  'queue: Messages: Dead-lettered': { shows: 'nothing', because: 'no message is given up' },
  'queue: Requests: Requests that fail': FAILURES,
  'queue: Partitions and their store: Leadership changes': LEADERS,
  'counter: Adds and reads: How far behind reads may be': { shows: 'zero', because: 'strong counters never are' },
  'counter: Transactions: Refused': { shows: 'zero', because: 'no counter has a bound' },
  'counter: Transactions: Prepared': { shows: 'zero', because: CHANCE },
  'counter: Transactions: Waits for locks, 99th percentile': { shows: 'nothing', because: 'adds share a counter' },
  'counter: Requests: Requests that fail': FAILURES,
  'counter: Partitions and their store: Leadership changes': LEADERS,
  'etcd: Members: Leader changes': { shows: 'zero', because: 'etcd keeps its leader', until: 'faults' },
  'etcd: Writing: Slow applies': { shows: 'zero', because: WELL },
  'etcd: Requests: Proposals that wait or fail': { shows: 'zero', because: WELL },
};
