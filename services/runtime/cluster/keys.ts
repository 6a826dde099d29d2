/** Where things are in the store. Prefixes are meant to be read with etcdctl. */

import { LEASED_PREFIX } from '../store/store.ts';

export const CLUSTER_KEY = 'cluster';
export const SERVICE_PREFIX = 'service/';
export const MEMBER_PREFIX = `${LEASED_PREFIX}member/`;
export const LEADER_PREFIX = `${LEASED_PREFIX}leader/`;
export const EXTERNAL_PREFIX = `${LEASED_PREFIX}external/`;

export const serviceKey = (service: string): string => SERVICE_PREFIX + service;
export const memberKey = (replica: string): string => MEMBER_PREFIX + replica;
export const externalKey = (name: string): string => EXTERNAL_PREFIX + name;

/** Four hexadecimal digits: at most 65,536 partitions. */
const partitionDigits = (partition: number): string => partition.toString(16).padStart(4, '0');

export const leaderKey = (service: string, partition: number): string =>
  `${LEADER_PREFIX}${service}/${partitionDigits(partition)}`;

/** Prefix of all records of a partition. */
export const partitionPrefix = (service: string, partition: number): string =>
  `data/${service}/${partitionDigits(partition)}/`;
