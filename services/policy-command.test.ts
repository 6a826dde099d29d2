import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runPolicyCommand } from './policy-command.ts';

const POLICY = `
peers: [spiffe://txmesh/service/*]
rules:
  - name: shop
    who: [{certificates: [spiffe://txmesh/client/shop]}, {groups: [shops]}]
    allow:
      - {methods: [QueueService/Publish], participants: [queue], topics: [orders]}
      - {methods: [ClusterService/*]}
`;

function run(args: readonly string[], policy = POLICY): { readonly code: number; readonly said: string } {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'policy.yaml');
  writeFileSync(file, policy);
  const said: string[] = [];
  const code = runPolicyCommand(args.map((arg) => (arg === 'FILE' ? file : arg)), (text) => said.push(text), (text) => said.push(text));
  return { code, said: said.join('\n').replaceAll(file, 'FILE') };
}

const publish = ['--method', 'QueueService/Publish', '--participant', 'queue', '--topic'];
const shop = ['--certificate', 'spiffe://txmesh/client/shop'];

test.each<[string, readonly string[], number, string]>([
  ['a policy that is right', ['check', 'FILE'], 0, 'FILE is a policy: 1 rules, 0 limits, peers spiffe://txmesh/service/*'],
  ['a call that is allowed', ['explain', 'FILE', ...shop, ...publish, 'orders'], 0, 'allowed: rule "shop"'],
  ['a resource that is not', ['explain', 'FILE', ...shop, ...publish, 'salaries'], 1, 'denied: no rule for this caller has QueueService/Publish on topic salaries of queue'],
  ['a group', ['explain', 'FILE', '--subject', 'anne', '--claim', 'groups=shops', ...publish, 'orders'], 0, 'allowed: rule "shop"'],
  ['nobody', ['explain', 'FILE', ...publish, 'orders'], 1, 'denied: no rule for this caller has QueueService/Publish'],
  ['a method without a resource', ['explain', 'FILE', ...shop, '--method', 'ClusterService/GetCluster'], 0, 'allowed: rule "shop"'],
  ['a right of its own', ['explain', 'FILE', ...shop, '--method', 'ClusterService/RegisterParticipant'], 1, 'with the right participate'],
  ['a replica', ['explain', 'FILE', '--certificate', 'spiffe://txmesh/service/queue', '--method', 'ParticipantService/Commit'], 0, 'allowed: it is a replica of the mesh (peers)'],
  ['what replicas do', ['explain', 'FILE', ...shop, '--method', 'ParticipantService/Commit'], 1, 'denied: only replicas may call ParticipantService/Commit'],
  ['a resource that is left out', ['explain', 'FILE', ...shop, '--method', 'QueueService/Publish'], 2, 'QueueService/Publish is about participants and topics: give --participant and --topic'],
  ['a method that there is not', ['explain', 'FILE', '--method', 'Nothing'], 2, '--method must be one of'],
  ['an option that there is not', ['explain', 'FILE', '--nothing'], 2, '--nothing'],
  ['a file that there is not', ['check', '/nowhere/policy.yaml'], 2, '/nowhere/policy.yaml'],
  ['nothing', [], 2, 'Usage:'],
  ['how it is called', ['explain', '--help'], 0, 'Usage:'],
])('explains %s', (_, args, code, said) => {
  const result = run(args);
  expect(result.said).toContain(said);
  expect(result.code).toBe(code);
});

test('tells what is wrong with a policy, with the line', () => {
  expect(run(['check', 'FILE'], 'peers: [queue]')).toEqual({ code: 1, said: 'FILE:1: peers[0] must begin with spiffe://' });
});
