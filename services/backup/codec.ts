/** Between the frames of a backup file and their bytes; see proto/txmesh/record/v1/backup_record.proto. */

import { BackupFrame } from '../gen/txmesh/record/v1/backup_record.ts';
import type { Entry } from '../runtime/store/store.ts';
import type { Footer, Frame, Header } from './format.ts';

export function encodeFrame(frame: Frame): Uint8Array {
  return BackupFrame.encode({ content: contentOf(frame) }).finish();
}

function contentOf(frame: Frame): BackupFrame['content'] {
  switch (frame.type) {
    case 'header': {
      const { createMs, ...header } = frame.header;
      const createTime = { seconds: BigInt(Math.floor(createMs / 1000)), nanos: (createMs % 1000) * 1e6 };
      return { $case: 'header', value: { ...header, createTime } };
    }
    case 'entries':
      return { $case: 'entries', value: { entries: frame.entries.map(({ key, value }) => ({ key, value: Buffer.from(value) })) } };
    case 'footer':
      return { $case: 'footer', value: { ...frame.footer, sha256: Buffer.from(frame.footer.sha256) } };
  }
}

/** Undefined where it is no frame. */
export function decodeFrame(bytes: Uint8Array): Frame | undefined {
  const content = contentIn(bytes);
  switch (content?.$case) {
    case 'header': {
      const { createTime, clusterId, engine, revision, highestEpoch, version } = content.value;
      const createMs = Number(createTime?.seconds ?? 0n) * 1000 + (createTime?.nanos ?? 0) / 1e6;
      const header: Header = { clusterId, createMs, engine, revision, highestEpoch, version };
      return { type: 'header', header };
    }
    case 'entries': {
      const entries: readonly Entry[] = content.value.entries;
      return { type: 'entries', entries };
    }
    case 'footer': {
      const footer: Footer = content.value;
      return { type: 'footer', footer };
    }
    case undefined:
      return undefined;
  }
}

function contentIn(bytes: Uint8Array): BackupFrame['content'] {
  try {
    return BackupFrame.decode(bytes).content;
  } catch {
    // Whoever reads the file says where.
    return undefined;
  }
}
