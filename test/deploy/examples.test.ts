/** The network policies let in and out what the pages promise, and the examples for what lies outside keep the rules of the house. */

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { CLIENTS, neededCertificates } from '../../deploy/certificates/needed.ts';
import { readSettings } from '../../services/settings/read.ts';
import { RULES } from './rules/all.ts';
import { environmentOf } from './support/environment.ts';
import { findKustomize, renderWith, type Kustomize } from './support/kustomize.ts';
import { connects, type End } from './support/network.ts';
import { nameOf, podsIn, serverOf, type Resource } from './support/resource.ts';
import { findSchemaErrors } from './support/schema.ts';

const deploy = resolve(import.meta.dirname, '../../deploy');
const EXAMPLES = readdirSync(join(deploy, 'examples'));
const OVERLAYS = ['kind', 'production'];

let kustomize: Kustomize;
const rendered = new Map<string, readonly Resource[]>();
const keyOf = (overlay: string, examples: readonly string[]): string => [overlay, ...examples].join(' ');

beforeAll(async () => {
  kustomize = await findKustomize();
  if (kustomize.command === undefined) return;
  for (const overlay of OVERLAYS)
    for (const examples of [[], ...EXAMPLES.map((each) => [each]), EXAMPLES]) {
      const folders = examples.map((name) => join(deploy, 'examples', name));
      rendered.set(keyOf(overlay, examples), await renderWith(kustomize.command, join(deploy, 'overlays', overlay), folders));
    }
}, 600_000);

function resourcesOf(skip: (reason: string) => never, overlay: string, examples: readonly string[] = []): readonly Resource[] {
  return rendered.get(keyOf(overlay, examples)) ?? skip(kustomize.command === undefined ? `no kustomize: ${kustomize.reason}` : 'it was not rendered');
}

const server = (component: string): End => ({ labels: { 'app.kubernetes.io/name': 'txmesh', 'app.kubernetes.io/component': component } });
const etcd: End = { labels: { 'app.kubernetes.io/name': 'etcd' } };
const collector: End = { labels: { 'app.kubernetes.io/name': 'opentelemetry-collector' } };
const participant: End = { labels: { 'app.kubernetes.io/name': 'ledger', 'txmesh/participant': 'true' } };
const shop = { 'kubernetes.io/metadata.name': 'shop' };
const participantElsewhere: End = { ...participant, elsewhere: shop };
const client: End = { labels: { 'txmesh/client': 'true' } };
const clientElsewhere: End = { ...client, elsewhere: shop };
const stranger: End = { labels: { 'app.kubernetes.io/name': 'stranger' } };
const strangerElsewhere: End = { ...stranger, elsewhere: shop };
const otherCluster: End = { address: '198.51.100.7' };
const issuer: End = { address: '203.0.113.7' };
const anywhere: End = { address: '192.0.2.1' };

const [coordinator, counter] = [server('coordinator'), server('counter')];

type Connection = readonly [what: string, from: End, to: End, port: number, allowed: boolean];

describe.each(OVERLAYS)('the policies of the overlay %s', (overlay) => {
  test.for<Connection>([
    ['a server to a participant', coordinator, participant, 50061, true],
    ['a server to a participant of another namespace', coordinator, participantElsewhere, 50061, true],
    ['a server to what else a participant has', coordinator, participant, 5432, false],
    ['a server to a pod that is no participant', coordinator, strangerElsewhere, 50061, false],
    ['a participant to a server', participant, coordinator, 50051, true],
    ['a participant of another namespace to a server', participantElsewhere, coordinator, 50051, true],
    ['a participant to the collector', participant, collector, 4317, true],
    ['a participant to the metrics of a server', participant, coordinator, 9464, false],
    ['a participant to etcd', participant, etcd, 2379, false],
    ['a client to a participant', client, participant, 50061, false],
    ['a client of another namespace to a server', clientElsewhere, coordinator, 50051, true],
    ['a stranger to a server', stranger, coordinator, 50051, false],
    ['a stranger of another namespace to a server', strangerElsewhere, coordinator, 50051, false],
    ['a stranger of another namespace to a participant', strangerElsewhere, participant, 50061, false],
    ['a server to its store', coordinator, etcd, 2379, true],
    ['a server to a counter of another cluster', counter, otherCluster, 50051, false],
    ['a server to an issuer of tokens', coordinator, issuer, 443, false],
  ])('decide about %s', ([, from, to, port, allowed], { skip }) => {
    expect(connects(resourcesOf(skip, overlay), from, to, port)).toBe(allowed);
  });

  test.for<Connection>([
    ['a counter to the other cluster', counter, otherCluster, 50051, true],
    ['the other cluster to a counter', otherCluster, counter, 50051, true],
    ['a counter to another port there', counter, otherCluster, 443, false],
    ['another service to the other cluster', coordinator, otherCluster, 50051, false],
    ['the other cluster to another service', otherCluster, coordinator, 50051, false],
    ['anybody else to a counter', anywhere, counter, 50051, false],
  ])('with the example counter-peers decide about %s', ([, from, to, port, allowed], { skip }) => {
    expect(connects(resourcesOf(skip, overlay, ['counter-peers']), from, to, port)).toBe(allowed);
  });

  test.for<Connection>([
    ['a server to the issuer', coordinator, issuer, 443, true],
    ['a server to another port there', coordinator, issuer, 22, false],
    ['a server to anywhere else', coordinator, anywhere, 443, false],
    ['the issuer to a server', issuer, coordinator, 50051, false],
    ['the store to the issuer', etcd, issuer, 443, false],
  ])('with the example tokens decide about %s', ([, from, to, port, allowed], { skip }) => {
    expect(connects(resourcesOf(skip, overlay, ['tokens']), from, to, port)).toBe(allowed);
  });

  test('and with the example participant about its own pods, at the port of its Service', ({ skip }) => {
    const resources = resourcesOf(skip, overlay, ['participant']);
    const pods = podsIn(resources).find(({ owner }) => owner.metadata.name === 'loyalty')!;
    const [{ port }] = resources.find((each) => nameOf(each) === 'Service loyalty')!.spec.ports;
    const loyalty: End = { labels: pods.labels };
    for (const component of ['coordinator', 'participant', 'queue', 'counter']) expect(connects(resources, server(component), loyalty, port)).toBe(true);
    expect(connects(resources, loyalty, coordinator, 50051)).toBe(true);
  });

  test.for([...EXAMPLES.map((name) => ({ name, examples: [name] })), { name: 'all of them', examples: EXAMPLES }])('with examples, $name, keep the schema and the rules', ({ examples }, { skip }) => {
    const resources = resourcesOf(skip, overlay, examples);
    expect(resources.flatMap(findSchemaErrors)).toEqual([]);
    // The certificate is made for whom it is asked for.
    const secrets = neededCertificates('txmesh', CLIENTS, ['loyalty']).map(({ secret }) => secret);
    expect(secrets).toContain('loyalty-tls');
    const missing = examples.includes('participant') ? ['StatefulSet loyalty: Secret loyalty-tls is not there'] : [];
    expect(RULES.flatMap((rule) => rule.check(resources))).toEqual(missing);
  });
});

test('the examples set what their pages say, for the servers that it is for', ({ skip }) => {
  const settings = podsIn(resourcesOf(skip, 'kind', EXAMPLES)).flatMap((pods) => {
    const container = serverOf(pods);
    const parsed = container && readSettings(container.args ?? [], environmentOf(container, resourcesOf(skip, 'kind', EXAMPLES)));
    return parsed?.type === 'settings' ? [[pods.owner.metadata.name, parsed.settings] as const] : [];
  });
  expect(settings).toHaveLength(4);
  expect(settings.filter(([, { counterPeers }]) => counterPeers.length > 0).map(([name]) => name)).toEqual(['counter']);
  for (const [name, { jwtJwks, jwtIssuer, jwtAudience, tlsClients }] of settings)
    expect([jwtJwks, jwtIssuer, jwtAudience, tlsClients], name).toEqual(['https://issuer.example/.well-known/jwks.json', 'https://issuer.example', 'txmesh', 'optional']);
});

test('every example is told of in docs/deploy.md', () => {
  const page = readFileSync(join(deploy, '../docs/deploy.md'), 'utf8');
  expect(EXAMPLES.filter((name) => !page.includes(`deploy/examples/${name}`))).toEqual([]);
});
