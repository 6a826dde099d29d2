/**
 * What an error of etcd's or of the connection to it means. Only what is known to be sure is called
 * sure: every other error leaves open whether the request was, or will be, executed.
 *
 * Messages: https://github.com/etcd-io/etcd/blob/v3.6.5/api/v3rpc/rpctypes/error.go
 */
import { status } from '@grpc/grpc-js';

export interface EtcdFailure {
  readonly type:
    /** Surely not executed; another endpoint, or later, may do better. */
    | 'not-executed'
    /** Surely not executed: the token has ended; authenticate again. */
    | 'token-ended'
    /** Surely not executed, and trying again will not help. */
    | 'denied'
    /** Over the space quota. A request with puts may have been executed: see EtcdStore. */
    | 'no-space'
    /** Surely not executed. */
    | 'lease-not-found'
    /** Surely not executed: over a limit of the server's. */
    | 'over-limit'
    /** The revision asked for is gone. */
    | 'compacted'
    /** Executed or not, now or later. */
    | 'unknown';
  readonly message: string;
}

/** A rejection by an etcd server, by a part of its message. */
const BY_MESSAGE: readonly (readonly [string, EtcdFailure['type']])[] = [
  ['etcdserver: mvcc: database space exceeded', 'no-space'],
  ['etcdserver: requested lease not found', 'lease-not-found'],
  ['etcdserver: mvcc: required revision has been compacted', 'compacted'],
  ['etcdserver: invalid auth token', 'token-ended'],
  ['etcdserver: revision of auth store is old', 'token-ended'],
  ['etcdserver: permission denied', 'denied'],
  ['etcdserver: user name is empty', 'denied'],
  ['etcdserver: authentication failed', 'denied'],
  ['etcdserver: authentication is not enabled', 'denied'],
  ['etcdserver: too many operations in txn request', 'over-limit'],
  ['etcdserver: request is too large', 'over-limit'],
  ['etcdserver: too many requests', 'not-executed'],
  // Raised before anything is proposed, or by a proposal that the member itself has dropped.
  ['etcdserver: no leader', 'not-executed'],
  ['etcdserver: not capable', 'not-executed'],
  ['raft proposal dropped', 'not-executed'],
];

/** The words of grpc-js for a call that was never handed to a server. */
const NEVER_SENT = ['No connection established', 'Name resolution failed', 'Channel closed before call started', 'Waiting for LB pick'];
/** Its word for a deadline that passed after a connection was picked. */
const SENT_TO = 'remote_addr=';

export function classifyEtcdError(error: unknown): EtcdFailure {
  const message = error instanceof Error ? error.message : String(error);
  for (const [part, type] of BY_MESSAGE) {
    if (message.includes(part)) return { type, message };
  }
  if (NEVER_SENT.some((words) => message.includes(words)) && !message.includes(SENT_TO)) return { type: 'not-executed', message };
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === status.UNAUTHENTICATED || code === status.PERMISSION_DENIED) return { type: 'denied', message };
  return { type: 'unknown', message };
}
