/** What a failed commit of lmdb's means. It has surely not been executed; lmdb.ts tells why. */
import { constants } from 'node:os';
import { StoreFull, StoreUnavailable, type StoreError } from './errors.ts';

/** lmdb.h */
const MDB_MAP_FULL = -30792;

const FULL_CODES: ReadonlySet<number> = new Set([
  MDB_MAP_FULL,
  constants.errno.ENOSPC,
  constants.errno.EDQUOT,
  constants.errno.EFBIG,
  // lmdb's word for a write that the disk took only a part of, which is how a full disk begins.
  constants.errno.EIO,
]);

/** @param error what lmdb rejected with: it carries a promise that rejects with the cause. */
export async function describeCommitError(error: unknown, description: string): Promise<StoreError> {
  const cause = await findCause(error);
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return typeof code === 'number' && FULL_CODES.has(code)
    ? new StoreFull(`${description}: no room for a write, the disk is full or failing (${reason}): free space there`, { cause })
    : new StoreUnavailable(`${description}: a write was not executed: ${reason}`, { cause });
}

async function findCause(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}
