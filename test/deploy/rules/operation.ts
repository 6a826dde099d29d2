/** What keeps a service running: probes, resources, budgets, spread, and a stop that loses nothing. */

import { duration } from '../../../services/settings/rules.ts';
import { SETTINGS } from '../../../services/settings/table.ts';
import { containersOf, matches, nameOf, podsIn, serverOf, type Pods, type Resource } from '../support/resource.ts';
import { environmentOf } from '../support/environment.ts';
import type { Rule } from './rule.ts';

export const probed: Rule = {
  name: 'what lasts is probed for its start, its readiness and its life; servers by gRPC',
  check: (resources) =>
    podsIn(resources).filter(({ isLasting }) => isLasting).flatMap((pods) =>
      pods.spec.containers.flatMap((container) =>
        (['startupProbe', 'readinessProbe', 'livenessProbe'] as const).flatMap((kind) => {
          const where = `${nameOf(pods.owner)}: container ${container.name}`;
          const probe = container[kind];
          if (probe === undefined) return [`${where} has no ${kind}`];
          if (serverOf(pods) === container && probe.grpc?.service === undefined) return [`${where} has a ${kind} that asks for no gRPC service`];
          const port = probe.grpc?.port ?? (probe.httpGet ?? probe.tcpSocket)?.port;
          const known = container.ports?.some(({ name, containerPort }) => name === port || containerPort === port);
          return known ? [] : [`${where} has a ${kind} at port ${port}, which it does not name`];
        }),
      ),
    ),
};

export const bounded: Rule = {
  name: 'containers say what they need and how much memory they may take',
  check: (resources) =>
    podsIn(resources).flatMap((pods) =>
      containersOf(pods).flatMap(({ name, resources: { requests = {}, limits = {} } = {} }) => {
        const missing = [
          ...['cpu', 'memory'].filter((what) => requests[what] === undefined).map((what) => `requests no ${what}`),
          ...(limits['memory'] === undefined ? ['has no limit of memory'] : []),
        ];
        return missing.map((what) => `${nameOf(pods.owner)}: container ${name} ${what}`);
      }),
    ),
};

/** How many there are at least. */
export function replicasOf(owner: Resource, resources: readonly Resource[]): number {
  const scaler = resources.find(({ kind, spec }) => kind === 'HorizontalPodAutoscaler' && spec.scaleTargetRef.name === owner.metadata.name && spec.scaleTargetRef.kind === owner.kind);
  return scaler?.spec.minReplicas ?? owner.spec.replicas ?? 1;
}

export const available: Rule = {
  name: 'of several replicas, one at a time may be taken away, and they are spread out',
  check: (resources) =>
    podsIn(resources).filter(({ owner, isLasting }) => isLasting && replicasOf(owner, resources) > 1).flatMap(({ owner, labels, spec }) => {
      const budget = resources.find(({ kind, spec: { selector } = {} }) => kind === 'PodDisruptionBudget' && matches(selector.matchLabels, labels));
      const spread = (spec['topologySpreadConstraints'] ?? []) as { topologyKey: string; labelSelector?: { matchLabels: Record<string, string> } }[];
      const over = (key: string): boolean =>
        spread.some(({ topologyKey, labelSelector }) => topologyKey === key && labelSelector !== undefined && matches(labelSelector.matchLabels, labels));
      return [
        ...(budget?.spec.maxUnavailable === 1 ? [] : [`${nameOf(owner)}: no PodDisruptionBudget lets one go at a time`]),
        ...['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].filter((key) => !over(key)).map((key) => `${nameOf(owner)}: it is not spread over ${key}`),
      ];
    }),
};

export const scaled: Rule = {
  name: 'servers that share a store are two or more, and are scaled by the CPU they use, down one at a time',
  check: (resources) =>
    podsIn(resources).flatMap((pods) => {
      const server = serverOf(pods);
      if (server === undefined || environmentOf(server, resources)['TXMESH_STORE'] !== 'etcd') return [];
      const where = nameOf(pods.owner);
      const scaler = resources.find(({ kind, spec }) => kind === 'HorizontalPodAutoscaler' && spec.scaleTargetRef.name === pods.owner.metadata.name);
      if (scaler === undefined) return [`${where}: no HorizontalPodAutoscaler scales it`];
      const { minReplicas, maxReplicas, metrics, behavior } = scaler.spec;
      return [
        ...(minReplicas >= 2 && maxReplicas > minReplicas ? [] : [`${where}: it is scaled from ${minReplicas} to ${maxReplicas} replicas`]),
        ...(metrics.some(({ resource }: { resource?: { name: string } }) => resource?.name === 'cpu') ? [] : [`${where}: it is not scaled by the CPU it uses`]),
        ...(behavior?.scaleDown?.policies?.every(({ type, value }: { type: string; value: number }) => type === 'Pods' && value === 1) ? [] : [`${where}: more than one may go at a time`]),
      ];
    }),
};

export const partitioned: Rule = {
  name: 'servers that share a store say how many partitions they have, and are not scaled to more replicas than that',
  check: (resources) =>
    podsIn(resources).flatMap((pods) => {
      const server = serverOf(pods);
      const environment = server && environmentOf(server, resources);
      if (environment?.['TXMESH_STORE'] !== 'etcd') return [];
      const where = nameOf(pods.owner);
      const partitions = environment['TXMESH_PARTITIONS'];
      if (partitions === undefined) return [`${where}: TXMESH_PARTITIONS is not set, and can't be changed later`];
      const scaler = resources.find(({ kind, spec }) => kind === 'HorizontalPodAutoscaler' && spec.scaleTargetRef.name === pods.owner.metadata.name);
      const replicas: number = scaler?.spec.maxReplicas ?? pods.owner.spec.replicas ?? 1;
      return replicas <= Number(partitions) ? [] : [`${where}: up to ${replicas} replicas share ${partitions} partitions`];
    }),
};

/** For a server to join its cluster once etcd has answered. */
const JOIN_SECONDS = 20;

export const patient: Rule = {
  name: 'a server is not killed while it waits for its store',
  check: (resources) =>
    podsIn(resources).flatMap((pods) => {
      const server = serverOf(pods);
      const environment = server && environmentOf(server, resources);
      if (environment?.['TXMESH_STORE'] !== 'etcd') return [];
      const waitSeconds = SETTINGS.etcdWait.rule.parse(environment['TXMESH_ETCD_WAIT'] ?? SETTINGS.etcdWait.fallback!) / 1000;
      const { periodSeconds = 10, failureThreshold = 3 } = server!.startupProbe ?? {};
      const givenSeconds = periodSeconds * failureThreshold;
      return givenSeconds >= waitSeconds + JOIN_SECONDS ? [] : [`${nameOf(pods.owner)}: it is started for ${givenSeconds} s, and may wait for etcd for ${waitSeconds} s`];
    }),
};

/** For the process to end and to be reaped. */
const MARGIN_SECONDS = 5;

export const drained: Rule = {
  name: 'a server is stopped after everybody has heard, and gets the time of its drain',
  check: (resources) =>
    podsIn(resources).flatMap((pods: Pods) => {
      const server = serverOf(pods);
      if (server === undefined) return [];
      const sleepSeconds = server.lifecycle?.preStop?.sleep?.seconds ?? 0;
      const drain = environmentOf(server, resources)['TXMESH_DRAIN'] ?? SETTINGS.drain.fallback!;
      const drainSeconds = duration(0, Infinity).parse(drain) / 1000;
      const graceSeconds = Number(pods.spec['terminationGracePeriodSeconds'] ?? 30);
      const neededSeconds = sleepSeconds + drainSeconds + MARGIN_SECONDS;
      return [
        ...(sleepSeconds > 0 ? [] : [`${nameOf(pods.owner)}: it stops before everybody has heard`]),
        ...(graceSeconds >= neededSeconds ? [] : [`${nameOf(pods.owner)}: a grace of ${graceSeconds} s is less than the ${neededSeconds} s of sleep, drain and margin`]),
      ];
    }),
};
