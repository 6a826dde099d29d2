/** What a backup file holds, and where; see proto/txmesh/record/v1/backup_record.proto. */

import type { Entry } from '../runtime/store/store.ts';

/** The first line, before the number of the format. */
export const MAGIC = 'txmesh backup ';
export const FORMAT = 1;
export const FIRST_LINE = `${MAGIC}${FORMAT}\n`;
export const LENGTH_BYTES = 4;
/** No frame is longer: one record always fits, and a length that is not one is found out. */
export const MOST_FRAME_BYTES = 64 * 2 ** 20;

export interface Header {
  readonly clusterId: string;
  /** When it was begun, milliseconds since 1970. */
  readonly createMs: number;
  /** "lmdb" or "etcd". */
  readonly engine: string;
  /** The store's revision that it shows. */
  readonly revision: number;
  /** Until then the cluster had not given out a higher epoch. */
  readonly highestEpoch: number;
  /** The version of txmesh that wrote it. */
  readonly version: string;
}

export interface Footer {
  /** How many entries there are. */
  readonly entries: number;
  /** Of everything before this frame. */
  readonly sha256: Uint8Array;
}

export type Frame =
  | { readonly type: 'header'; readonly header: Header }
  | { readonly type: 'entries'; readonly entries: readonly Entry[] }
  | { readonly type: 'footer'; readonly footer: Footer };

/** A backup or a restore that can't be; the message says what, where and what to do. */
export class BackupError extends Error {}
