/** What a cluster does to a mesh, and what its operators do. */

import { kubectl } from './kubectl.ts';

export interface Blow {
  readonly what: string;
  /** Resolves when everything is ready again. */
  strike(): Promise<void>;
}

const WITHIN = '--timeout=180s';

const rolledOut = (set: string): Promise<string> => kubectl('rollout', 'status', `statefulset/${set}`, WITHIN);

async function deletePod(pod: string, ...how: string[]): Promise<void> {
  await kubectl('delete', 'pod', pod, ...how);
  await kubectl('wait', `pod/${pod}`, '--for=create', WITHIN);
  await kubectl('wait', `pod/${pod}`, '--for=condition=Ready', WITHIN);
}

async function scale(set: string, replicas: number): Promise<void> {
  await kubectl('scale', `statefulset/${set}`, `--replicas=${replicas}`);
  await rolledOut(set);
}

const deleted = (pod: string): Blow => ({ what: `${pod} was deleted and is back`, strike: () => deletePod(pod) });
const evicted = (pod: string): Blow => ({ what: `${pod} was deleted without grace and is back`, strike: () => deletePod(pod, '--grace-period=0', '--force') });

export const BLOWS: readonly Blow[] = [
  deleted('coordinator-0'),
  deleted('participant-0'),
  evicted('coordinator-1'),
  evicted('participant-1'),
  deleted('etcd-0'),
  {
    what: 'every server was replaced, one at a time',
    async strike() {
      await kubectl('rollout', 'restart', 'statefulset/coordinator', 'statefulset/participant');
      await Promise.all(['coordinator', 'participant'].map(rolledOut));
    },
  },
  {
    what: 'a third participant came and went',
    async strike() {
      await scale('participant', 3);
      await scale('participant', 2);
      await kubectl('wait', 'pod/participant-2', '--for=delete', WITHIN);
    },
  },
];
