/** Between the cluster's records and their bytes; see proto/txmesh/record/v1/cluster_record.proto. */

import {
  ClusterRecord,
  ExternalRecord,
  LeaderRecord,
  MemberRecord,
  ServiceRecord,
} from '../../gen/txmesh/record/v1/cluster_record.ts';
import { StoreUnusable } from '../store/errors.ts';
import type { ServiceKind } from './service.ts';

const FORMAT = 1;
/** Of a cluster that was restored: releases that don't know what that asks of them refuse it. */
const RESTORED_FORMAT = 2;

interface Wire<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

function codec<T extends { format: number }, Plain>(
  wire: Wire<T>,
  name: string,
  toWire: (plain: Plain) => T,
  fromWire: (record: T) => Plain,
  newest = FORMAT,
): { encode(plain: Plain): Uint8Array; decode(bytes: Uint8Array): Plain } {
  return {
    encode: (plain) => wire.encode(toWire(plain)).finish(),
    decode(bytes) {
      const record = wire.decode(bytes);
      if (record.format < FORMAT || record.format > newest)
        throw new StoreUnusable(`${name} has format ${record.format}, this version reads ${newest}: run a newer version`);
      return fromWire(record);
    },
  };
}

/** What holds for a cluster as long as it lives. */
export interface ClusterFacts {
  readonly clusterId: string;
  /** Name of the routing hash. */
  readonly hash: string;
  readonly createMs: number;
  /** What the cluster numbers has numbers above it: 0, unless it was restored (invariant P10). */
  readonly numbersAbove: number;
  /** A restore is under way, or was cut off. */
  readonly restoring: boolean;
}

export const clusterCodec = codec(
  ClusterRecord,
  'the cluster record',
  (c: ClusterFacts) => ({
    format: c.numbersAbove > 0 || c.restoring ? RESTORED_FORMAT : FORMAT,
    clusterId: c.clusterId,
    hash: c.hash,
    createTime: { seconds: BigInt(Math.floor(c.createMs / 1000)), nanos: (c.createMs % 1000) * 1e6 },
    numbersAbove: c.numbersAbove,
    restoring: c.restoring,
  }),
  (r) => ({
    clusterId: r.clusterId,
    hash: r.hash,
    createMs: Number(r.createTime?.seconds ?? 0n) * 1000 + (r.createTime?.nanos ?? 0) / 1e6,
    numbersAbove: r.numbersAbove,
    restoring: r.restoring,
  }),
  RESTORED_FORMAT,
);

export const serviceCodec = codec(
  ServiceRecord,
  'a service record',
  (s: { kind: ServiceKind; partitions: number }) => ({ format: FORMAT, ...s }),
  (r) => ({ kind: r.kind as ServiceKind, partitions: r.partitions }),
);

export const memberCodec = codec(
  MemberRecord,
  'a member record',
  (m: { replica: string; address: string; services: readonly string[] }) => ({
    format: FORMAT,
    replica: m.replica,
    address: m.address,
    services: [...m.services],
  }),
  (r) => ({ replica: r.replica, address: r.address, services: r.services as readonly string[] }),
);

export const leaderCodec = codec(
  LeaderRecord,
  'a leader record',
  (l: { replica: string; address: string }) => ({ format: FORMAT, ...l }),
  (r) => ({ replica: r.replica, address: r.address }),
);

export const externalCodec = codec(
  ExternalRecord,
  'an external participant record',
  (e: { registrationId: string; address: string }) => ({ format: FORMAT, ...e }),
  (r) => ({ registrationId: r.registrationId, address: r.address }),
);
