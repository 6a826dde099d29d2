/** What a cluster does to a mesh, and what its operators do. */

import { SERVICES } from '../../deploy/certificates/needed.ts';
import { until } from '../integration/support/until.ts';
import { leadersOf, type Grpcurl } from './grpcurl.ts';
import { kubectl } from './kubectl.ts';
import type { WorkPod } from './work-pod.ts';

export interface Blow {
  readonly what: string;
  /** Resolves when everything is ready again. @returns what it struck, in words */
  strike(): Promise<string>;
}

const BOUND_MS = 180_000;
const WITHIN = `--timeout=${BOUND_MS / 1000}s`;
/** How each leader in turn is deleted: as an operator or a drained node does it, and as a node that fails. */
const WAYS = [
  { how: 'was deleted', flags: [] },
  { how: 'was deleted without grace', flags: ['--grace-period=0', '--force'] },
] as const;
const ETCDCTL = ['/usr/local/bin/etcdctl', '--cacert=/etc/etcd/tls/ca.crt', '--cert=/etc/etcd/tls/tls.crt', '--key=/etc/etcd/tls/tls.key'];
const MEMBERS = ['etcd-0', 'etcd-1', 'etcd-2'];

const rolledOut = (set: string): Promise<string> => kubectl('rollout', 'status', `statefulset/${set}`, WITHIN);

/** @param nextImage what everything is rolled to */
export function blows(grpcurl: Grpcurl, nextImage: string, work: WorkPod): readonly Blow[] {
  const services = [...SERVICES];
  return [
    ...services.flatMap((service) => deletedLeaders(service, grpcurl)),
    { what: 'the member of etcd that leads was deleted', strike: () => etcdLeader().then((member) => replacePod(member)) },
    {
      what: 'every server was rolled to another image, one replica at a time',
      async strike() {
        await kubectl('set', 'image', ...services.map((service) => `statefulset/${service}`), `server=${nextImage}`);
        await Promise.all(services.map(rolledOut));
        return `now ${nextImage}`;
      },
    },
    {
      what: 'a third replica of every service came and went',
      async strike() {
        await scale(services, 3);
        await until('every third replica leads something', BOUND_MS, async () => {
          const leaders = await leadersOf(grpcurl);
          return services.every((service) => leaders.has(`${service}-2`));
        });
        await work.readsFrom(await addressesOf('coordinator'));
        await scale(services, 2);
        await Promise.all(services.map((service) => kubectl('wait', `pod/${service}-2`, '--for=delete', WITHIN)));
        await work.readsFrom(await addressesOf('coordinator'));
        return 'each led partitions meanwhile, and clients that balance by themselves followed';
      },
    },
  ];
}

/** Both replicas of a service, one after the other, each while it leads. */
function deletedLeaders(service: string, grpcurl: Grpcurl): Blow[] {
  let last = '';
  return WAYS.map(({ how, flags }) => ({
    what: `a leader of the ${service} ${how}`,
    async strike() {
      const victim = await until(`another ${service} than ${last || 'none'} leads`, BOUND_MS, async () => {
        const leaders = await leadersOf(grpcurl);
        return [...leaders.keys()].filter((pod) => pod.startsWith(`${service}-`) && pod !== last).sort((a, b) => leaders.get(b)! - leaders.get(a)!)[0];
      });
      last = victim;
      return replacePod(victim, ...flags);
    },
  }));
}

/** Deletes a pod of a StatefulSet. @returns its name, when the one that takes its place is ready */
async function replacePod(pod: string, ...flags: string[]): Promise<string> {
  const id = (): Promise<string> => kubectl('get', 'pod', pod, '--ignore-not-found', '-o', 'jsonpath={.metadata.uid}');
  const before = await id();
  await kubectl('delete', 'pod', pod, ...flags);
  await until(`${pod} is made anew`, BOUND_MS, async () => ![before, ''].includes(await id()));
  await kubectl('wait', `pod/${pod}`, '--for=condition=Ready', WITHIN);
  return pod;
}

async function scale(services: readonly string[], replicas: number): Promise<void> {
  await kubectl('scale', ...services.map((service) => `statefulset/${service}`), `--replicas=${replicas}`);
  await Promise.all(services.map(rolledOut));
}

async function addressesOf(service: string): Promise<string[]> {
  const ips = await kubectl('get', 'pods', '--selector', `app.kubernetes.io/component=${service}`, '-o', 'jsonpath={.items[*].status.podIP}');
  return ips.split(' ').map((ip) => `${ip}:50051`);
}

interface EndpointStatus {
  readonly Endpoint: string;
  readonly Status: { readonly leader: number; readonly header: { readonly member_id: number } };
}

async function etcdLeader(): Promise<string> {
  const endpoints = MEMBERS.map((member) => `https://${member}.etcd-headless:2379`).join(',');
  const answer = await kubectl('exec', MEMBERS[0]!, '--', ...ETCDCTL, `--endpoints=${endpoints}`, 'endpoint', 'status', '--write-out=json');
  // The ids pass what a double holds exactly; as both come from the same digits, they are equal all the same.
  const leading = (JSON.parse(answer) as EndpointStatus[]).find(({ Status }) => Status.leader === Status.header.member_id);
  if (leading === undefined) throw new Error(`no member of etcd leads: ${answer}`);
  return MEMBERS.find((member) => leading.Endpoint.includes(`${member}.`))!;
}
