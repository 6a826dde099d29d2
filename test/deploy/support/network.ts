/** Who may connect to whom under NetworkPolicies, as Kubernetes decides it. */

import { BlockList } from 'node:net';
import { matches, type Labels, type Resource } from './resource.ts';

/** A pod, by default in the namespace of the policies; or an address outside of the cluster. */
export type End = { readonly labels: Labels; readonly elsewhere?: Labels } | { readonly address: string };

interface Peer {
  readonly podSelector?: { readonly matchLabels?: Labels };
  readonly namespaceSelector?: { readonly matchLabels?: Labels };
  readonly ipBlock?: { readonly cidr: string };
}
interface PolicyRule {
  readonly ports?: readonly { readonly port: number; readonly protocol?: string }[];
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
}

/** What the policies govern: pods of their own namespace. */
const isGoverned = (end: End): end is { readonly labels: Labels } => 'labels' in end && end.elsewhere === undefined;

function isMeant({ podSelector, namespaceSelector, ipBlock }: Peer, end: End): boolean {
  if ('address' in end) {
    if (ipBlock === undefined) return false;
    const [net, bits] = ipBlock.cidr.split('/');
    const block = new BlockList();
    block.addSubnet(net!, Number(bits));
    return block.check(end.address);
  }
  if (ipBlock !== undefined || !matches(podSelector?.matchLabels, end.labels)) return false;
  // Without one, pods of the policy's own namespace alone.
  return namespaceSelector === undefined ? end.elsewhere === undefined : end.elsewhere !== undefined ? matches(namespaceSelector.matchLabels, end.elsewhere) : namespaceSelector.matchLabels === undefined;
}

/** Whether one end of a connection lets it be. A pod that no policy selects for a direction lets everything be. */
function allows(policies: readonly Resource[], direction: 'Ingress' | 'Egress', end: End, other: End, port: number): boolean {
  if (!isGoverned(end)) return true;
  const selecting = policies.filter(({ spec }) => (spec.policyTypes as string[]).includes(direction) && matches(spec.podSelector.matchLabels, end.labels));
  if (selecting.length === 0) return true;
  return selecting
    .flatMap(({ spec }) => (spec[direction.toLowerCase()] ?? []) as PolicyRule[])
    .some(({ ports, from, to }) => {
      const peers = direction === 'Ingress' ? from : to;
      // Whoever names no ports, or no peers, means all.
      return (ports?.some((each) => each.port === port && (each.protocol ?? 'TCP') === 'TCP') ?? true) && (peers?.some((peer) => isMeant(peer, other)) ?? true);
    });
}

/** Whether both ends let a connection by TCP be. */
export function connects(resources: readonly Resource[], from: End, to: End, port: number): boolean {
  const policies = resources.filter(({ kind }) => kind === 'NetworkPolicy');
  return allows(policies, 'Egress', from, to, port) && allows(policies, 'Ingress', to, from, port);
}

/** Of pods in the namespace of the policies. */
export const mayConnect = (resources: readonly Resource[], from: Labels, to: Labels, port: number): boolean => connects(resources, { labels: from }, { labels: to }, port);
