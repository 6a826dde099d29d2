/** Whoever types what the pages show, as whom they show it, may do it under the policy of the component mtls. */

import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { neededCertificates } from '../../deploy/certificates/needed.ts';
import { CoordinatorServiceService } from '../../services/gen/txmesh/coordinator/v1/coordinator.ts';
import { CounterServiceService } from '../../services/gen/txmesh/counter/v1/counter.ts';
import { FaultServiceService } from '../../services/gen/txmesh/admin/v1/fault.ts';
import { ClusterServiceService } from '../../services/gen/txmesh/cluster/v1/cluster.ts';
import { KeyValueServiceService } from '../../services/gen/txmesh/keyvalue/v1/keyvalue.ts';
import { ParticipantServiceService } from '../../services/gen/txmesh/participant/v1/participant.ts';
import { QueueServiceService } from '../../services/gen/txmesh/queue/v1/queue.ts';
import { catalogueOfMesh } from '../../services/mesh/access.ts';
import { spiffeIdIn } from '../../services/runtime/security/certificate.ts';
import { RightsJudge } from '../../services/runtime/security/judge.ts';
import { readPolicy } from '../../services/runtime/security/read-policy.ts';
import { Rights } from '../../services/runtime/security/rights.ts';
import { callsIn, requestOf, type Call } from './support/documented-calls.ts';

const root = resolve(import.meta.dirname, '../..');
const POLICY = 'deploy/components/mtls/policy.yaml';
const catalogue = catalogueOfMesh();
const text = readFileSync(resolve(root, POLICY), 'utf8');
const inForce = readPolicy(POLICY, text, catalogue);
const administration = new Set(catalogue.entries.filter(({ access }) => access.right === 'admin').map(({ name }) => name));
const identities = new Map(neededCertificates('any').map(({ secret, names }) => [secret, spiffeIdIn(names.join(', '))]));

const SERVICES = [
  CoordinatorServiceService,
  KeyValueServiceService,
  QueueServiceService,
  CounterServiceService,
  ParticipantServiceService,
  ClusterServiceService,
  FaultServiceService,
];
const decoders = new Map(SERVICES.flatMap((service) => Object.values(service)).map(({ path, requestDeserialize }) => [path, requestDeserialize]));

/** By which grpcurl learns what a service looks like, whatever it is told to call. */
const REFLECTION = 'ServerReflection/ServerReflectionInfo';

/** Without TLS there is no policy: what programs show there, `npm run e2e:k8s` does with the certificate for programs. */
const SECRET_OF_PROGRAMS = 'client-tls';

/** Why the policy does not let the call through; undefined: it does. */
function denialOf(call: Call, policy = inForce): string | undefined {
  const secret = call.as === 'plaintext' ? SECRET_OF_PROGRAMS : call.as;
  const uri = identities.get(secret);
  if (uri === undefined) return `nobody makes a Secret ${secret}`;
  const rights = new Rights(policy, { type: 'certificate', uri }, catalogue);
  if (rights.ruleForMethod(REFLECTION) === undefined) return `${uri} may not ask what the API is like`;
  const { method } = call;
  if (method === undefined) return undefined;
  const entry = catalogue.methods.get(`/${method}`);
  if (entry === undefined) return `there is no method ${method}`;
  if (rights.ruleForMethod(entry.name) === undefined) return `${uri} may not call ${entry.name}`;
  const decode = decoders.get(entry.path);
  // Health has no request that a policy could look into.
  if (decode === undefined || entry.access.judge === undefined) return undefined;
  const judge = new RightsJudge((name) => administration.has(name)).begin(rights, entry.name);
  entry.access.judge(decode(Buffer.from(requestOf({ ...call, method }))), judge);
  const { denial, failure } = judge;
  if (failure !== undefined) return failure.message;
  return denial && `${uri} may not call ${denial.method} on ${denial.resource?.kind} ${denial.resource?.name} of ${denial.resource?.participant}`;
}

const pages = ['README.md', ...globSync('docs/{*,runbooks/*}.md', { cwd: root }).toSorted()];
const calls = pages.flatMap((page) => callsIn(page).map((call) => [page, call] as const));

test.each([...new Set(calls.map(([page]) => page))])('%s shows no call that is denied to whom it shows it', (page) => {
  expect(callsIn(page).flatMap((call) => denialOf(call) ?? [])).toEqual([]);
});

test('every line of the pages that calls grpcurl is seen, with its method', () => {
  const lines = pages.map((page) => [page, [...readFileSync(resolve(root, page), 'utf8').matchAll(/^.*grpcurl .*$/gm)].filter(([line]) => / [-$]/.test(line)).length]);
  const seen = pages.map((page) => [page, calls.filter(([of]) => of === page).length]);
  expect(seen).toEqual(lines);
  expect(calls.filter(([, { method }]) => method === undefined).map(([page]) => page)).toEqual(['README.md', 'docs/deploy.md']);
});

describe('the check of a call', () => {
  const as = (secret: string, call: string, policy = inForce): string | undefined => {
    const page = ['```console', `$ kubectl get secret ${secret} -o json > tls.crt`, '$ MESH="-cert tls.crt"', `$ ${call}`, '```'].join('\n');
    const [only, ...others] = callsIn('docs/none.md', page);
    expect(others).toEqual([]);
    return denialOf(only!, policy);
  };
  const retry = `grpcurl $MESH -d '{"transactionId":"01976f4c-52d1-7a3e-9b1c-6f2d8e4a0b11"}' 127.0.0.1:50051 txmesh.coordinator.v1.CoordinatorService/RetryTransaction`;
  const OPERATION = '"participant":"inventory","routingKey":"k","operation":{"@type":"type.googleapis.com/txmesh.keyvalue.v1.PutOperation","collection":"stock","key":"k"}';
  const execute = `grpcurl $MESH -d '{"operations":[\n  {${OPERATION}}]}' \\\n  127.0.0.1:50051 txmesh.coordinator.v1.CoordinatorService/Execute`;

  test('sees administration by who may only work', () => {
    expect(as('client-tls', retry)).toMatch(/client\/client may not call CoordinatorService\/RetryTransaction/);
    expect(as('operator-tls', retry)).toBeUndefined();
  });

  test('sees who may do nothing, and a Secret that nobody makes', () => {
    expect(as('etcd-client-tls', retry)).toMatch(/may not ask what the API is like/);
    expect(as('admin-tls', retry)).toMatch(/nobody makes a Secret admin-tls/);
  });

  test('looks into the request, also where it goes on in the next lines', () => {
    expect(as('client-tls', execute)).toBeUndefined();
    const narrow = readPolicy(POLICY, text.replaceAll('collections: ["*"]', 'collections: [shelf]'), catalogue);
    expect(as('client-tls', execute, narrow)).toMatch(/may not call KeyValueService\/Put on collections stock of inventory/);
  });
});
