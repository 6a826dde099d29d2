/** What one manifest says about another one, or about the server, is so. */

import { readSettings, SettingError } from '../../../services/settings/read.ts';
import { neededCertificates } from '../../../deploy/certificates/needed.ts';
import { environmentOf } from '../support/environment.ts';
import { containersOf, matches, nameOf, podsIn, serverOf, type Container, type Pods, type Resource } from '../support/resource.ts';
import type { Rule } from './rule.ts';

export const settingsExist: Rule = {
  name: 'the server takes every flag and variable that it is given',
  check: (resources) =>
    podsIn(resources).flatMap((pods) => {
      const server = serverOf(pods);
      if (server === undefined) return [];
      const environment = environmentOf(server, resources);
      const unresolved = Object.entries(environment).filter(([, value]) => value.includes('$(')).map(([name]) => `${nameOf(pods.owner)}: ${name} names a variable that comes later`);
      try {
        const parsed = readSettings(server.args ?? [], environment);
        if (parsed.type !== 'settings') return [`${nameOf(pods.owner)}: it would print its ${parsed.type} and end`];
        const { settings } = parsed;
        const ports = { grpc: settings.port, health: settings.healthPort, metrics: settings.metricsPort === 0 ? undefined : settings.metricsPort };
        const advertised = Number(settings.advertise?.split(':').at(-1));
        return [
          ...unresolved,
          ...Object.entries(ports).filter(([name, port]) => portOf(server, name) !== port).map(([name, port]) => `${nameOf(pods.owner)}: it listens on ${port}, and its port ${name} is ${portOf(server, name)}`),
          ...(advertised === settings.port ? [] : [`${nameOf(pods.owner)}: it advertises ${settings.advertise}, and listens on ${settings.port}`]),
          ...(settings.host === '0.0.0.0' ? [] : [`${nameOf(pods.owner)}: it listens on ${settings.host} alone`]),
          ...filesOf(settings).filter((file) => !isMounted(file, server)).map((file) => `${nameOf(pods.owner)}: ${file} is in no volume`),
        ];
      } catch (error) {
        if (!(error instanceof SettingError)) throw error;
        return [`${nameOf(pods.owner)}: ${error.message}`];
      }
    }),
};

const portOf = ({ ports = [] }: Container, wanted: string): number | undefined => ports.find(({ name }) => name === wanted)?.containerPort;
const filesOf = (settings: object): string[] => Object.values(settings).filter((value): value is string => typeof value === 'string' && value.startsWith('/'));
const isMounted = (file: string, { volumeMounts = [] }: Container): boolean => volumeMounts.some(({ mountPath }) => `${file}/`.startsWith(`${mountPath}/`));

export const referencesHold: Rule = {
  name: 'what a pod refers to is deployed with it, or is a Secret that `npm run certificates` makes',
  check: (resources) => {
    const has = (wanted: string, name: string): boolean => resources.some(({ kind, metadata }) => kind === wanted && metadata.name === name);
    const secrets = new Set(neededCertificates('any').map(({ secret }) => secret));
    return podsIn(resources).flatMap((pods) => {
      const volumes = pods.spec.volumes ?? [];
      const claims = (pods.owner.spec.volumeClaimTemplates ?? []).map((claim: Resource) => claim.metadata.name) as string[];
      const missing = [
        ...volumes.flatMap(({ configMap }) => (configMap && !has('ConfigMap', configMap.name) ? [`ConfigMap ${configMap.name}`] : [])),
        ...volumes.flatMap(({ secret }) => (secret && !secrets.has(secret.secretName) ? [`Secret ${secret.secretName}`] : [])),
        ...volumes.flatMap(({ persistentVolumeClaim: claim }) => (claim && !has('PersistentVolumeClaim', claim.claimName) ? [`claim ${claim.claimName}`] : [])),
        ...containersOf(pods).flatMap(({ envFrom = [] }) => envFrom.flatMap(({ configMapRef }) => (configMapRef && !has('ConfigMap', configMapRef.name) ? [`ConfigMap ${configMapRef.name}`] : []))),
        ...containersOf(pods).flatMap(({ volumeMounts = [] }) => volumeMounts.filter(({ name }) => !claims.includes(name) && !volumes.some((volume) => volume.name === name)).map(({ name }) => `volume ${name}`)),
      ];
      return missing.map((what) => `${nameOf(pods.owner)}: ${what} is not there`);
    });
  },
};

export const servicesLead: Rule = {
  name: 'Services, budgets, scalers and selectors lead to pods, and ports to ports',
  check: (resources) => {
    const all = podsIn(resources);
    return resources.flatMap((resource) => {
      const { kind, spec } = resource;
      if (kind === 'Service') return serviceLeads(resource, all);
      if (kind === 'PodDisruptionBudget') return all.some(({ labels }) => matches(spec.selector.matchLabels, labels)) ? [] : [`${nameOf(resource)}: no pod is meant`];
      if (kind === 'HorizontalPodAutoscaler') {
        const { kind: target, name } = spec.scaleTargetRef;
        return all.some(({ owner }) => owner.kind === target && owner.metadata.name === name) ? [] : [`${nameOf(resource)}: there is no ${target} ${name}`];
      }
      if (kind === 'StatefulSet') {
        const governing = resources.find((other) => other.kind === 'Service' && other.metadata.name === spec.serviceName);
        if (governing === undefined) return [`${nameOf(resource)}: there is no Service ${spec.serviceName}`];
      }
      const pods = all.find(({ owner }) => owner === resource);
      if (pods?.isLasting && !matches(spec.selector.matchLabels, pods.labels)) return [`${nameOf(resource)}: its selector misses its own pods`];
      return [];
    });
  },
};

function serviceLeads(service: Resource, all: readonly Pods[]): string[] {
  const meant = all.filter(({ labels }) => matches(service.spec.selector, labels));
  if (meant.length === 0) return [`${nameOf(service)}: no pod is meant`];
  return meant.flatMap(({ owner, spec }) =>
    service.spec.ports.flatMap(({ port, targetPort = port }: { port: number; targetPort?: number | string }) => {
      const found = spec.containers.flatMap(({ ports = [] }) => ports).find(({ name, containerPort }) => name === targetPort || containerPort === targetPort);
      if (found === undefined) return [`${nameOf(service)}: ${nameOf(owner)} has no port ${targetPort}`];
      // What is told of an address is a name and a port: a Service that maps ports would make two of them.
      return found.containerPort === port ? [] : [`${nameOf(service)}: port ${port} leads to ${found.containerPort}`];
    }),
  );
}

export const quotaAgrees: Rule = {
  name: 'the servers know the quota that etcd has',
  check: (resources) => {
    const all = podsIn(resources);
    const flag = all.filter(({ owner }) => nameOf(owner) === 'StatefulSet etcd').flatMap(({ spec }) => spec.containers[0]?.args ?? []).find((arg) => arg.startsWith('--quota-backend-bytes='));
    if (flag === undefined) return [];
    const quota = Number(flag.split('=')[1]);
    return all.flatMap((pods) => {
      const server = serverOf(pods);
      if (server === undefined) return [];
      const parsed = readSettings([], { TXMESH_ETCD_QUOTA: environmentOf(server, resources)['TXMESH_ETCD_QUOTA'] });
      return parsed.type === 'settings' && parsed.settings.etcdQuota === quota ? [] : [`${nameOf(pods.owner)}: etcd's quota is ${quota} bytes, and it is told another`];
    });
  },
};
