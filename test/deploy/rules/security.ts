/** What a pod may do: as little as the restricted Pod Security Standard, and less. */

import { readSettings, SettingError } from '../../../services/settings/read.ts';
import { environmentOf } from '../support/environment.ts';
import { containersOf, matches, nameOf, podsIn, serverOf, type Pods } from '../support/resource.ts';
import type { Rule } from './rule.ts';

export const lockedDown: Rule = {
  name: 'pods run as nobody special, with nothing to write to but volumes',
  check: (resources) =>
    podsIn(resources).flatMap((pods) => {
      const where = nameOf(pods.owner);
      const { spec } = pods;
      const found: string[] = [];
      const demand = (holds: boolean, what: string): void => void (holds || found.push(`${where}: ${what}`));
      demand(spec.securityContext?.runAsNonRoot === true, 'runAsNonRoot is not true');
      demand(Number(spec.securityContext?.runAsUser) > 0, 'runAsUser is not a number above 0');
      demand(spec.securityContext?.seccompProfile?.type === 'RuntimeDefault', 'the seccomp profile is not RuntimeDefault');
      for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) demand(!spec[field], `${field} is set`);
      for (const volume of spec.volumes ?? []) demand(!('hostPath' in volume), `volume ${volume.name} is a folder of the node`);
      for (const { name, securityContext = {} } of containersOf(pods)) {
        demand(securityContext['allowPrivilegeEscalation'] === false, `container ${name} may gain privileges`);
        demand(securityContext['readOnlyRootFilesystem'] === true, `container ${name} may write to its root file system`);
        demand(securityContext['privileged'] !== true, `container ${name} is privileged`);
        const { drop, add } = securityContext['capabilities'] ?? {};
        demand(drop?.includes('ALL') && !(add?.length > 0), `container ${name} keeps capabilities`);
      }
      return found;
    }),
};

export const restricted: Rule = {
  name: 'the cluster itself refuses pods that break the restricted Pod Security Standard',
  check: (resources) => {
    const namespaces = resources.filter(({ kind }) => kind === 'Namespace');
    if (namespaces.length === 0) return ['there is no Namespace'];
    return namespaces.flatMap((namespace) =>
      namespace.metadata.labels?.['pod-security.kubernetes.io/enforce'] === 'restricted' ? [] : [`${nameOf(namespace)}: it does not enforce the restricted standard`],
    );
  },
};

export const noToken: Rule = {
  name: 'pods have an account of their own and no access to the API of Kubernetes',
  check: (resources) =>
    podsIn(resources).flatMap(({ owner, spec }) => {
      const where = nameOf(owner);
      const account = resources.find(({ kind, metadata }) => kind === 'ServiceAccount' && metadata.name === spec.serviceAccountName);
      return [
        ...(spec['automountServiceAccountToken'] === false ? [] : [`${where}: a token is mounted`]),
        ...(spec['enableServiceLinks'] === false ? [] : [`${where}: variables of Services are set`]),
        ...(account === undefined ? [`${where}: it has no ServiceAccount of its own`] : []),
        ...(account !== undefined && account.automountServiceAccountToken !== false ? [`${nameOf(account)}: tokens are mounted`] : []),
      ];
    }),
};

export const fixedImages: Rule = {
  name: 'images have a tag that stays',
  check: (resources) =>
    podsIn(resources).flatMap((pods) =>
      containersOf(pods).flatMap(({ name, image }) => {
        const tag = /:([^/:@]+)(@sha256:[0-9a-f]{64})?$/.exec(image)?.[1];
        const where = `${nameOf(pods.owner)}: container ${name}`;
        if (tag === undefined) return [`${where} runs ${image}, which has no tag`];
        return tag === 'latest' ? [`${where} runs the latest image`] : [];
      }),
    ),
};

export const connected: Rule = {
  name: 'where everything is denied, every pod has a policy of its own',
  check: (resources) => {
    const policies = resources.filter(({ kind }) => kind === 'NetworkPolicy');
    if (policies.length === 0) return [];
    const specific = policies.filter(({ spec }) => Object.keys(spec.podSelector.matchLabels ?? {}).length > 0);
    const denies = policies.some(({ spec }) => Object.keys(spec.podSelector).length === 0 && spec.ingress === undefined && spec.egress === undefined);
    const selects = (labels: Readonly<Record<string, string>>): boolean =>
      specific.some(({ spec }) => Object.entries(spec.podSelector.matchLabels).every(([key, value]) => labels[key] === value));
    return [
      ...(denies ? [] : ['no NetworkPolicy denies what no other allows']),
      ...podsIn(resources).filter(({ labels }) => !selects(labels)).map(({ owner }) => `${nameOf(owner)}: no NetworkPolicy says whom it may talk to`),
    ];
  },
};

export const opened: Rule = {
  name: 'who comes through a NodePort, from an address outside of the cluster, is let in',
  check: (resources) => {
    const policies = resources.filter(({ kind }) => kind === 'NetworkPolicy');
    if (policies.length === 0) return [];
    const isOpen = ({ labels }: Pods, port: number): boolean =>
      policies
        .filter(({ spec }) => Object.entries(spec.podSelector.matchLabels ?? {}).every(([key, value]) => labels[key] === value))
        .flatMap(({ spec }) => (spec.ingress ?? []) as { ports?: { port: number }[]; from?: { ipBlock?: object }[] }[])
        .some(({ ports, from }) => (ports?.some((each) => each.port === port) ?? true) && (from?.some(({ ipBlock }) => ipBlock !== undefined) ?? true));
    return resources
      .filter(({ kind, spec }) => kind === 'Service' && spec.type === 'NodePort')
      .flatMap((service) => {
        const behind = podsIn(resources).filter(({ labels }) => matches(service.spec.selector, labels));
        return behind.some((pods) => service.spec.ports.some(({ port }: { port: number }) => isOpen(pods, port))) ? [] : [`${nameOf(service)}: no NetworkPolicy lets in who comes through its NodePort`];
      });
  },
};

export const noFaults: Rule = {
  name: 'no server can be made to fail on purpose',
  check: (resources) =>
    podsIn(resources).flatMap((pods) => {
      const server = serverOf(pods);
      return server !== undefined && injectsFaults(server.args ?? [], environmentOf(server, resources)) ? [`${nameOf(pods.owner)}: it injects faults`] : [];
    }),
};

function injectsFaults(args: readonly string[], environment: Readonly<Record<string, string>>): boolean {
  try {
    const parsed = readSettings(args, environment);
    return parsed.type === 'settings' && parsed.settings.faultInjection === 'true';
  } catch (error) {
    // Another rule tells of settings that are wrong.
    if (error instanceof SettingError) return false;
    throw error;
  }
}
