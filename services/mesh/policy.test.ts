/** The policy's file and its rules, held against the methods that there are. */

import { describe, expect, test } from 'vitest';
import type { Principal } from '../runtime/security/principal.ts';
import { readPolicy } from '../runtime/security/read-policy.ts';
import { Rights } from '../runtime/security/rights.ts';
import { catalogueOfMesh } from './access.ts';

const catalogue = catalogueOfMesh();
const read = (text: string) => readPolicy('policy.yaml', text, catalogue);

const POLICY = `
peers: [spiffe://txmesh/service/*]
open: [health]
rules:
  - name: shop
    who: [{certificates: [spiffe://txmesh/client/shop]}]
    allow:
      - methods: [KeyValueService/Get, KeyValueService/Put]
        participants: [inventory]
        collections: [stock, order-*]
      - methods: [QueueService/*]
        participants: [queue]
        topics: [orders]
      - methods: [CoordinatorService/Execute*]
      - operations: [acme.ledger.v1.*]
        participants: [ledger]
  - name: operators
    who:
      - {groups: [operators], claims: {tenant: [eu-*]}}
      - {subjects: [root], certificates: [spiffe://txmesh/client/console]}
    allow:
      - methods: [CoordinatorService/*, QueueService/CreateTopic]
        rights: [admin]
        participants: ["*"]
        topics: ["*"]
  - name: map
    who: authenticated
    allow: [{methods: [ClusterService/GetCluster]}]
limits:
  - name: shop
    who: [{certificates: [spiffe://txmesh/client/shop]}]
    calls_per_second: 10
  - name: others
    who: anybody
    in_flight: 5
`;

const certificate = (uri: string): Principal => ({ type: 'certificate', uri });
const token = (subject: string, claims: Record<string, unknown> = {}, connection?: string): Principal => ({
  type: 'token',
  issuer: 'https://issuer.test',
  subject,
  claims,
  certificate: connection,
  expiresMs: Infinity,
});
const nobody: Principal = { type: 'nobody', address: '10.0.0.1' };
const rightsOf = (principal: Principal) => new Rights(read(POLICY), principal, catalogue);

describe('rights', () => {
  const shop = rightsOf(certificate('spiffe://txmesh/client/shop'));

  test('are for the methods and resources that are named, and for no others', () => {
    expect(shop.ruleForResource('KeyValueService/Get', 'collections', 'inventory', 'stock')).toBe('shop');
    expect(shop.ruleForResource('KeyValueService/Get', 'collections', 'inventory', 'order-1')).toBe('shop');
    expect(shop.ruleForResource('KeyValueService/Get', 'collections', 'inventory', 'stocks')).toBeUndefined();
    expect(shop.ruleForResource('KeyValueService/Get', 'collections', 'payments', 'stock')).toBeUndefined();
    expect(shop.ruleForResource('KeyValueService/Delete', 'collections', 'inventory', 'stock')).toBeUndefined();
  });

  test('are not for kinds of resources that the grant does not name', () => {
    expect(shop.ruleForResource('QueueService/Publish', 'topics', 'queue', 'orders')).toBe('shop');
    expect(shop.ruleForResource('QueueService/Pull', 'subscriptions', 'queue', 'orders')).toBeUndefined();
  });

  test('of every name are for who has a pattern for every name', () => {
    expect(shop.ruleForAll('KeyValueService/Get', 'collections', 'inventory', 'order-')).toBe('shop');
    expect(shop.ruleForAll('KeyValueService/Get', 'collections', 'inventory', 'order-2026')).toBe('shop');
    expect(shop.ruleForAll('KeyValueService/Get', 'collections', 'inventory', 'order')).toBeUndefined();
    expect(shop.ruleForAll('KeyValueService/Get', 'collections', 'inventory', 'stock')).toBeUndefined();
  });

  test('are not for administration unless it is given, whatever the pattern', () => {
    expect(shop.ruleForMethod('QueueService/CreateTopic')).toBeUndefined();
    expect(shop.ruleForMethod('QueueService/GetTopic')).toBe('shop');
    const operator = rightsOf(token('anne', { groups: ['staff', 'operators'], tenant: 'eu-west' }));
    expect(operator.ruleForMethod('QueueService/CreateTopic')).toBe('operators');
    expect(operator.ruleForMethod('CoordinatorService/RetryTransaction')).toBe('operators');
    // participate is another right.
    expect(operator.ruleForMethod('CoordinatorService/Enlist')).toBeUndefined();
  });

  test('need all that a condition says', () => {
    const may = (principal: Principal) => rightsOf(principal).ruleForMethod('CoordinatorService/RetryTransaction') !== undefined;
    expect(may(token('anne', { groups: ['operators'] }))).toBe(false);
    expect(may(token('anne', { groups: ['operators'], tenant: 'us-1' }))).toBe(false);
    expect(may(token('anne', { groups: 'operators', tenant: 'eu-1' }))).toBe(true);
    expect(may(token('root'))).toBe(false);
    expect(may(token('root', {}, 'spiffe://txmesh/client/console'))).toBe(true);
    expect(may(certificate('spiffe://txmesh/client/console'))).toBe(false);
    expect(may(token('anne', { __proto__: { groups: ['operators'] }, tenant: 'eu-1' }))).toBe(false);
  });

  test('of a connection are not those of a token that comes over it', () => {
    const borrowed = rightsOf(token('anne', {}, 'spiffe://txmesh/client/shop'));
    expect(borrowed.ruleForMethod('KeyValueService/Get')).toBeUndefined();
    expect(rightsOf(token('anne', {}, 'spiffe://txmesh/service/queue')).isPeer).toBe(false);
    expect(rightsOf(token('spiffe://txmesh/service/queue')).isPeer).toBe(false);
  });

  test('of replicas are for everything, and nobody has those of replicas by a rule', () => {
    expect(rightsOf(certificate('spiffe://txmesh/service/queue')).isPeer).toBe(true);
    expect(rightsOf(certificate('spiffe://txmesh/service/queue')).limits).toBeUndefined();
    for (const method of ['ParticipantService/Prepare', 'ParticipantService/Exchange', 'CounterPartitionService/AskPartition'])
      expect(shop.ruleForMethod(method)).toBeUndefined();
  });

  test('are for anybody where the policy opens a service, and for the known where it says so', () => {
    expect(rightsOf(nobody).ruleForMethod('Health/Check')).toBe('open');
    expect(rightsOf(nobody).ruleForMethod('ServerReflection/ServerReflectionInfo')).toBeUndefined();
    expect(rightsOf(nobody).ruleForMethod('ClusterService/GetCluster')).toBeUndefined();
    expect(rightsOf(token('x')).ruleForMethod('ClusterService/GetCluster')).toBe('map');
  });

  test('come with the first limits that fit', () => {
    expect(shop.limits?.name).toBe('shop');
    expect(rightsOf(nobody).limits?.name).toBe('others');
  });

  test('to send operations of other participants are for their types and participants', () => {
    expect(shop.ruleForOperation('acme.ledger.v1.Debit', 'ledger')).toBe('shop');
    expect(shop.ruleForOperation('acme.ledger.v1.Debit', 'inventory')).toBeUndefined();
    expect(shop.ruleForOperation('acme.other.v1.Debit', 'ledger')).toBeUndefined();
  });
});

describe('the file of a policy', () => {
  test.each<[string, string, string]>([
    ['is no YAML', 'peers: [', 'policy.yaml:1:'],
    ['has a field that is not known', 'rule: []', 'rule is not known here; there are peers, open, rules, limits'],
    ['has a field twice', 'peers: [spiffe://a/b]\npeers: [spiffe://a/c]', 'policy.yaml:2:'],
    ['has a star within a pattern', 'peers: ["spiffe://*/x"]', 'peers[0] must be a text, with a * at its end or none at all'],
    ['has a replica that is no SPIFFE id', 'peers: [queue]', 'peers[0] must begin with spiffe://'],
    ['has a rule for nobody', 'rules:\n  - {name: a, who: [], allow: []}', 'policy.yaml:2: rules[0].who must name somebody'],
    ['has a rule for somebody unsaid', 'rules:\n  - {name: a, who: [{}], allow: []}', 'rules[0].who[0] must say something'],
    ['has a method that there is not', rule('methods: [KeyValueService/Steal]'), 'no method matches "KeyValueService/Steal"'],
    ['has a method without what it is about', rule('methods: [KeyValueService/Get], participants: [a]'), 'KeyValueService/Get is about collections; name them'],
    ['has administration without the right', rule('methods: [CoordinatorService/RetryTransaction]'), 'needs a right of its own; write rights: [admin]'],
    ['gives what only replicas may do', rule('methods: [ParticipantService/Commit]'), 'only replicas may call ParticipantService/Commit'],
    ['has a grant of nothing', rule('topics: [a]'), 'must name methods, or operations'],
    ['has a limit without a number', 'limits: [{name: a, who: anybody}]', 'limits[0] must limit in_flight, calls_per_second or bytes_per_second'],
    ['has a limit of zero', 'limits: [{name: a, who: anybody, in_flight: 0}]', 'limits[0].in_flight must be a whole number above 0'],
    ['has a name twice', 'limits: [{name: a, who: anybody, in_flight: 1}, {name: a, who: anybody, in_flight: 1}]', 'two of the limits have the name "a"'],
    ['opens what there is not', 'open: [everything]', 'open may have health and reflection'],
    ['is empty', '', 'the file must be a map of fields'],
  ])('that %s is refused, with the line', (_, text, message) => {
    expect(() => read(text)).toThrow(message);
    expect(() => read(text)).toThrow(/policy\.yaml:\d+: /);
  });

  test('tells all its mistakes at once', () => {
    expect(() => read('peers: [a, b]\nopen: [c]')).toThrow(/policy.yaml:1: .*\n.*policy.yaml:1: .*\n.*policy.yaml:2: /);
  });

  test('may be JSON', () => {
    expect(read('{"peers": ["spiffe://txmesh/service/*"], "rules": []}').peers).toEqual(['spiffe://txmesh/service/*']);
  });
});

function rule(grant: string): string {
  return `rules: [{name: a, who: anybody, allow: [{${grant}}]}]`;
}
