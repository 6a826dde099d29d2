/** `txmesh policy check FILE` and `txmesh policy explain FILE …`: what a policy says, before it is in force. */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { catalogueOfMesh } from './mesh/access.ts';
import { RESOURCE_KINDS, type NamedKind } from './runtime/security/access.ts';
import type { Catalogue } from './runtime/security/catalogue.ts';
import type { Policy } from './runtime/security/policy.ts';
import type { Principal } from './runtime/security/principal.ts';
import { readPolicy } from './runtime/security/read-policy.ts';
import { Rights } from './runtime/security/rights.ts';
import { FileInvalid } from './runtime/security/yaml-reader.ts';

const USAGE = `Usage:
  txmesh policy check FILE
      Says what is wrong with a policy.
  txmesh policy explain FILE [WHO …] METHOD [RESOURCE …]
      Says whether a policy allows a call, and by which rule. Exit code 0: it does, 1: it does not.
      WHO       --certificate spiffe://…   --subject SUB   --claim NAME=VALUE …   (none of them: nobody)
      METHOD    --method KeyValueService/Get
      RESOURCE  --participant NAME   --collection, --topic, --subscription, --snapshot, --counter NAME …
`;

/** Of a mistake in how it was called. */
class UsageError extends Error {}

/** @returns the exit code: 0 for yes and for --help, 1 for no, 2 for a wrong call */
export function runPolicyCommand(args: readonly string[], print: (text: string) => void = console.log, complain: (text: string) => void = console.error): number {
  const [verb, file, ...rest] = args;
  if (args.includes('--help') || args.includes('-h')) {
    print(USAGE);
    return 0;
  }
  try {
    if (file === undefined || (verb !== 'check' && verb !== 'explain')) throw new UsageError(USAGE);
    const catalogue = catalogueOfMesh();
    const policy = readPolicy(file, readFileSync(file, 'utf8'), catalogue);
    if (verb === 'explain') return explain(policy, catalogue, rest, print);
    if (rest.length > 0) throw new UsageError(USAGE);
    print(`${file} is a policy: ${policy.rules.length} rules, ${policy.limits.length} limits, peers ${policy.peers.join(', ') || 'none'}`);
    return 0;
  } catch (error) {
    complain(error instanceof FileInvalid || error instanceof UsageError ? error.message : `txmesh policy: ${error instanceof Error ? error.message : String(error)}`);
    return error instanceof FileInvalid ? 1 : 2;
  }
}

const SINGULAR = Object.fromEntries(RESOURCE_KINDS.map((kind) => [kind, kind.slice(0, -1)])) as Readonly<Record<(typeof RESOURCE_KINDS)[number], string>>;

function explain(policy: Policy, catalogue: Catalogue, args: readonly string[], print: (text: string) => void): number {
  const options = Object.fromEntries([...['certificate', 'subject', 'method'], ...Object.values(SINGULAR)].map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({ args: [...args], options: { ...options, claim: { type: 'string', multiple: true } } });
  const given = values as Readonly<Record<string, string | undefined>> & { readonly claim?: readonly string[] };
  const entry = catalogue.entries.find(({ name }) => name === given['method']);
  if (entry === undefined) throw new UsageError(`--method must be one of\n  ${catalogue.entries.map(({ name }) => name).join('\n  ')}`);
  const rights = new Rights(policy, principalOf(given), catalogue);
  if (rights.isPeer) return say(print, true, 'it is a replica of the mesh (peers)');
  const { name, access } = entry;
  const { right, about } = access;
  if (right === 'peer') return say(print, false, `only replicas may call ${name}`);
  const method = rights.ruleForMethod(name);
  if (method === undefined) return say(print, false, `no rule for this caller has ${name}${right === 'ordinary' ? '' : ` with the right ${right}`}`);
  let rule = method;
  const { participant } = given;
  for (const kind of about) {
    const asked = kind === 'participants' ? participant : given[SINGULAR[kind]];
    if (asked === undefined || participant === undefined) throw new UsageError(`${name} is about ${about.join(' and ')}: give ${about.map((each) => `--${SINGULAR[each]}`).join(' and ')}`);
    // A resource is asked for together with its participant.
    if (kind === 'participants' && about.length > 1) continue;
    const found = kind === 'participants' ? rights.ruleForParticipant(name, asked) : rights.ruleForResource(name, kind satisfies NamedKind, participant, asked);
    if (found === undefined) return say(print, false, `no rule for this caller has ${name} on ${SINGULAR[kind]} ${asked} of ${participant}`);
    rule = found;
  }
  return say(print, true, `rule "${rule}"${rights.limits === undefined ? '' : `, limits "${rights.limits.name}"`}`);
}

function say(print: (text: string) => void, allowed: boolean, why: string): number {
  print(`${allowed ? 'allowed' : 'denied'}: ${why}`);
  return allowed ? 0 : 1;
}

function principalOf({ certificate, subject, claim = [] }: Readonly<Record<string, string | undefined>> & { readonly claim?: readonly string[] }): Principal {
  if (subject === undefined && claim.length > 0) throw new UsageError('--claim needs --subject: claims are of a token');
  if (subject === undefined) return certificate === undefined ? { type: 'nobody', address: '' } : { type: 'certificate', uri: certificate };
  const claims: Record<string, string[]> = {};
  for (const each of claim) {
    const at = each.indexOf('=');
    if (at < 1) throw new UsageError(`--claim must be NAME=VALUE, not ${each}`);
    (claims[each.slice(0, at)] ??= []).push(each.slice(at + 1));
  }
  return { type: 'token', issuer: '', subject, claims, certificate, expiresMs: Infinity };
}
