/**
 * What docs/backup.md has an operator apply to put a snapshot of etcd back agrees with what is deployed. That
 * the same flags bring an etcd back which a mesh then serves from is shown in test/integration/backup.test.ts.
 */

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { readCommandSettings } from '../../services/settings/read.ts';
import { RULES } from './rules/all.ts';
import { replicasOf } from './rules/operation.ts';
import { environmentOf } from './support/environment.ts';
import { findKustomize, render, type Kustomize } from './support/kustomize.ts';
import { containersOf, podsIn, serverOf, type Container, type Resource } from './support/resource.ts';
import { findSchemaErrors } from './support/schema.ts';

const root = resolve(import.meta.dirname, '../..');
const SNAPSHOT = 'etcd-backup-29300167-abcde';

let kustomize: Kustomize;
let deployed: readonly Resource[] = [];
beforeAll(async () => {
  kustomize = await findKustomize();
  if (kustomize.command !== undefined) deployed = await render(kustomize.command, join(root, 'deploy/overlays/kind'));
}, 600_000);

/** As `sed` makes it. */
function manifest(name: string, member = 0): Resource {
  const text = readFileSync(join(root, 'deploy/components/etcd/restore', name), 'utf8');
  const resource = parse(text.replaceAll('MEMBER', String(member)).replaceAll('SNAPSHOT', SNAPSHOT)) as Resource;
  return { ...resource, metadata: { ...resource.metadata, namespace: 'txmesh' } };
}

const only = (resource: Resource): Container => podsIn([resource])[0]!.spec.containers[0]!;
const flagsOf = ({ args = [] }: Container): Map<string, string> =>
  new Map(args.filter((arg) => arg.startsWith('--') && arg.includes('=')).map((arg) => [arg.slice(0, arg.indexOf('=')), arg.slice(arg.indexOf('=') + 1)]));
const deployedAs = (kind: string, name: string): Resource => deployed.find((each) => each.kind === kind && each.metadata.name === name)!;

test.for([0, 1, 2])('what restores member %i is what the API takes, keeps the rules, and has the member\'s own flags', (member, context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const job = manifest('member.yaml', member);
  expect(findSchemaErrors(job)).toEqual([]);
  // The member's volume is there because its pod was.
  expect(RULES.flatMap((rule) => rule.check([...deployed, job]))).toEqual([`Job etcd-restore-${member}: claim data-etcd-${member} is not there`]);
  const etcd = deployedAs('StatefulSet', 'etcd');
  const [claim] = etcd.spec.volumeClaimTemplates as Resource[];
  expect(podsIn([job])[0]!.spec.volumes!.map(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName)).toEqual([`${claim!.metadata.name}-etcd-${member}`, 'etcd-backups']);
  const own = flagsOf(only(etcd));
  const flags = flagsOf(only(job));
  expect([...flags.keys()]).toEqual(['--name', '--data-dir', '--initial-advertise-peer-urls', '--initial-cluster', '--initial-cluster-token']);
  for (const [flag, value] of flags) expect(value, flag).toBe(own.get(flag)!.replaceAll('$(POD_NAME)', `etcd-${member}`));
  expect(own.get('--data-dir')).toBe('/var/lib/etcd/data');
  expect(only(job).image).toBe(only(etcd).image);
});

test('it restores the files that the schedule writes', (context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const [backup] = podsIn([deployedAs('CronJob', 'etcd-backup')]);
  const saved = containersOf(backup!).flatMap(({ args = [] }) => args).find((arg) => arg.endsWith('.db'))!;
  expect(only(manifest('member.yaml')).args).toContain(saved.replace('$(POD_NAME)', SNAPSHOT));
});

test('epochs are raised in the etcd that the servers use, by the servers\' own image', (context) => {
  if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
  const job = manifest('raise-epochs.yaml');
  expect(findSchemaErrors(job)).toEqual([]);
  expect(RULES.flatMap((rule) => rule.check([...deployed, job]))).toEqual([]);
  const server = serverOf(podsIn([deployedAs('StatefulSet', 'coordinator')])[0]!)!;
  expect(only(job).image).toBe(server.image);
  const [command, ...args] = only(job).args!;
  expect(command).toBe('raise-epochs');
  const asJob = readCommandSettings('raise-epochs', args, {});
  expect(asJob).toEqual(readCommandSettings('raise-epochs', [], environmentOf(server, deployed)));
});

describe('the procedure in docs/backup.md', () => {
  const text = readFileSync(join(root, 'docs/backup.md'), 'utf8').split('### Into the StatefulSet of etcd')[1]!;
  const lines = /```console\n(.*?)```/s.exec(text)![1]!.split('\n').filter((line) => line !== '');
  const where = (words: string): number => lines.findIndex((line) => line.includes(words));
  const SERVERS = '-l app.kubernetes.io/name=txmesh';
  const scales = (of: string): number[] => lines.flatMap((line) => {
    const [, what, replicas] = /scale statefulset (.+) --replicas=(\d+)$/.exec(line) ?? [];
    return what === of ? [Number(replicas)] : [];
  });

  test('ends with as many servers and members as there were', (context) => {
    if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
    expect(scales('etcd')).toEqual([0, deployedAs('StatefulSet', 'etcd').spec.replicas]);
    const servers = podsIn(deployed).filter((pods) => serverOf(pods) !== undefined);
    // What else could start them again: the manifests don't say how many there are.
    expect(servers.map(({ owner }) => owner.spec.replicas)).toEqual(servers.map(() => undefined));
    expect(scales(SERVERS)).toEqual([0, ...new Set(servers.map(({ owner }) => replicasOf(owner, deployed)))]);
    expect(lines.at(-1)).toMatch(`rollout status statefulset ${SERVERS} `);
  });

  test('starts servers when epochs are raised, in an etcd that was restored whole', () => {
    const steps = ['scale statefulset etcd --replicas=0', 'wait --for=delete', 'job/etcd-restore-$i', 'scale statefulset etcd --replicas=3', 'rollout status statefulset etcd', 'apply -f raise-epochs.yaml', 'job/raise-epochs', `scale statefulset ${SERVERS} --replicas=2`];
    expect(steps.map(where)).not.toContain(-1);
    expect(steps.map(where)).toEqual(steps.map(where).toSorted((a, b) => a - b));
    expect(where(`scale statefulset ${SERVERS} --replicas=0`)).toBeLessThan(where(steps[0]!));
  });

  test('is for production with its number of servers', async (context) => {
    if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
    const production = await render(kustomize.command, join(root, 'deploy/overlays/production'));
    const [, instead] = /In production, (\d+) instead of 2\./.exec(text) ?? [];
    for (const pods of podsIn(production).filter((each) => serverOf(each) !== undefined)) expect(replicasOf(pods.owner, production)).toBe(Number(instead));
  });
});
