import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CLIENTS, neededCertificates, SERVICES } from '../../deploy/certificates/needed.ts';
import { catalogueOfMesh } from '../../services/mesh/access.ts';
import { spiffeIdIn } from '../../services/runtime/security/certificate.ts';
import { readPolicy } from '../../services/runtime/security/read-policy.ts';
import { Rights } from '../../services/runtime/security/rights.ts';

const file = resolve(import.meta.dirname, '../../deploy/components/mtls/policy.yaml');
const catalogue = catalogueOfMesh();
const policy = readPolicy(file, readFileSync(file, 'utf8'), catalogue);

/** By the Secret's name; members of etcd have none. */
const identities = new Map(
  neededCertificates('shop', CLIENTS, ['loyalty']).flatMap(({ secret, names }): [string, string][] => {
    const uri = spiffeIdIn(names.join(', '));
    return uri === undefined ? [] : [[secret, uri]];
  }),
);
const rightsOf = (secret: string) => new Rights(policy, { type: 'certificate', uri: identities.get(secret)! }, catalogue);

describe('the policy of the component mtls', () => {
  test('takes every service of the manifests for a replica, and nobody else', () => {
    const peers = [...identities.keys()].filter((secret) => rightsOf(secret).isPeer);
    expect(peers.sort()).toEqual(SERVICES.map((name) => `${name}-tls`).sort());
  });

  test('lets the client work, the operator force outcomes too, and a participant take part', () => {
    const client = rightsOf('client-tls');
    const operator = rightsOf('operator-tls');
    expect(client.ruleForResource('KeyValueService/Put', 'collections', 'inventory', 'stock')).toBe('clients');
    expect(client.ruleForResource('QueueService/CreateTopic', 'topics', 'queue', 'orders')).toBe('clients');
    expect(client.ruleForMethod('CoordinatorService/Execute')).toBe('clients');
    expect(client.ruleForMethod('ServerReflection/ServerReflectionInfo')).toBe('clients');
    for (const method of ['CoordinatorService/ResolveTransaction', 'CoordinatorService/RetryTransaction', 'ParticipantService/Resolve']) {
      expect(client.ruleForMethod(method)).toBeUndefined();
      expect(operator.ruleForMethod(method)).toBe('operators');
    }
    const participant = rightsOf('loyalty-tls');
    expect(participant.ruleForParticipant('ClusterService/RegisterParticipant', 'loyalty')).toBe('participants');
    expect(participant.ruleForParticipant('CoordinatorService/Inquire', 'loyalty')).toBe('participants');
    for (const method of ['CoordinatorService/Execute', 'KeyValueService/Get', 'CoordinatorService/ResolveTransaction']) expect(participant.ruleForMethod(method)).toBeUndefined();
    expect(rightsOf('etcd-client-tls').ruleForMethod('ClusterService/GetCluster')).toBeUndefined();
  });
});
