/** Every method of every service, as everybody who may and may not call it. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../../services/runtime/clock.ts';
import { startNode, type Node } from '../../../services/mesh.ts';
import { catalogueOfMesh } from '../../../services/mesh/access.ts';
import { openSecurity, type Security } from '../../../services/runtime/security/open.ts';
import { MemoryStore } from '../../../services/runtime/store/memory.ts';
import { hasOpenssl, TestAuthority, type Asks, type Wanted } from '../support/spiffe-authority.ts';
import { callEmpty, everyMethod, type DescribedMethod } from '../support/methods.ts';
import { AUDIENCE, ISSUER, TokenIssuer } from '../support/token-issuer.ts';

const PEER = { uri: 'spiffe://txmesh/service/queue' };
const RIGHT = { uri: 'spiffe://txmesh/client/right' };
const WRONG = { uri: 'spiffe://txmesh/client/wrong' };

const POLICY = `
peers: [spiffe://txmesh/service/*]
rules:
  - name: everything
    who: [{certificates: [${RIGHT.uri}]}, {subjects: [right]}]
    allow:
      - methods: ["*"]
        rights: [admin, participate]
        participants: ["*"]
        collections: ["*"]
        topics: ["*"]
        subscriptions: ["*"]
        snapshots: ["*"]
        counters: ["*"]
`;

const methods = everyMethod();
const catalogue = catalogueOfMesh();
const isForPeers = ({ path }: DescribedMethod): boolean => catalogue.methods.get(path)?.access.right === 'peer';

let folder = '';
let authority: TestAuthority;
let issuer: TokenIssuer;
let forger: TokenIssuer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'txmesh-every-method-'));
  if (hasOpenssl()) authority = new TestAuthority(folder);
  [issuer, forger] = await Promise.all([TokenIssuer.create(), TokenIssuer.create()]);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Served {
  readonly node: Node;
  readonly security: Security;
  allowed: number;
  denied: number;
}

/** @param asks for certificates: where they are required, TLS refuses by itself, before any method is called. */
async function serve(asks: Asks): Promise<Served> {
  const policy = join(folder, `policy-${asks}.yaml`);
  writeFileSync(policy, POLICY);
  const served = { allowed: 0, denied: 0 } as { -readonly [K in keyof Served]: Served[K] };
  served.security = openSecurity(
    {
      policy,
      keys: issuer.writeTo(join(folder, 'keys.json')),
      tokens: { issuer: ISSUER, audience: AUDIENCE, algorithms: ['ES256'], leewayMs: 1000 },
      audit: 'denied',
      encrypted: true,
      certificates: asks !== 'none',
    },
    {
      catalogue,
      clock: systemClock,
      audit: () => undefined,
      info: () => undefined,
      error: () => undefined,
      observer: { decided: (decision) => void served[decision]++, refused: () => undefined },
    },
  );
  const credentials = { server: authority.server(PEER, asks), channels: authority.channel(PEER) };
  served.node = await startNode(
    { host: '127.0.0.1', port: 0, coordinator: true, participants: ['inventory'], queues: ['queue'], counters: ['counter'], defaultPartitions: 1, faultInjection: true },
    { store: new MemoryStore(systemClock), log: () => undefined, credentials, guard: served.security.guard },
  );
  onTestFinished(async () => {
    served.security.close();
    await served.node.drain(0);
  });
  await served.node.ready();
  return served;
}

function clientOf({ node }: Served, credentials: grpc.ChannelCredentials): grpc.Client {
  const client = new grpc.Client(`localhost:${node.port}`, credentials, { 'grpc.use_local_subchannel_pool': 1 });
  onTestFinished(() => client.close());
  return client;
}

const bearer = (token: string): grpc.Metadata => {
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
};

/** The status of every method. */
async function tryAll(served: Served, client: grpc.Client, metadata = new grpc.Metadata()): Promise<Map<DescribedMethod, string>> {
  const found = new Map<DescribedMethod, string>();
  for (const method of methods) {
    const { allowed } = served;
    found.set(method, await callEmpty(client, method, metadata.clone(), () => served.allowed > allowed));
  }
  return found;
}

const refusedWith = (found: Map<DescribedMethod, string>, status: string): string[] =>
  [...found].filter(([, code]) => code !== status).map(([{ path }, code]) => `${path} ${code}`);
const REFUSALS = ['UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNAVAILABLE', 'UNIMPLEMENTED', 'DEADLINE_EXCEEDED'];
const notAllowed = (found: Map<DescribedMethod, string>): string[] =>
  [...found].filter(([, code]) => REFUSALS.includes(code)).map(([{ path }]) => path);

test('every method that the descriptors have says what it needs, and no other does', () => {
  expect(methods.length).toBeGreaterThan(70);
  expect([...catalogue.methods.keys()].sort()).toEqual(methods.map(({ path }) => path).sort());
});

describe.skipIf(!hasOpenssl())('every method', () => {
  test('is called by a replica, and by who has every right but for what is between replicas', async () => {
    const served = await serve('required');
    expect(notAllowed(await tryAll(served, clientOf(served, authority.channel(PEER))))).toEqual([]);
    const found = await tryAll(served, clientOf(served, authority.channel(RIGHT)));
    expect(notAllowed(found)).toEqual(methods.filter(isForPeers).map(({ path }) => path));
    for (const method of methods.filter(isForPeers)) expect(found.get(method)).toBe('PERMISSION_DENIED');
    expect(methods.filter(isForPeers).map(({ path }) => path)).toContain('/txmesh.participant.v1.ParticipantService/Commit');
  });

  test.each<[string, Wanted, string]>([
    ['another identity', WRONG, 'PERMISSION_DENIED'],
    ['an identity that begins like another', { uri: `${RIGHT.uri}er` }, 'PERMISSION_DENIED'],
    ["a certificate that names nobody, with a replica's name as its common name", {}, 'UNAUTHENTICATED'],
    ['a name that is no SPIFFE id', { uri: 'https://txmesh/service/queue' }, 'UNAUTHENTICATED'],
  ])('is refused to %s', async (_, wanted, status) => {
    const served = await serve('required');
    expect(refusedWith(await tryAll(served, clientOf(served, authority.channel(wanted))), status)).toEqual([]);
    expect(served.allowed).toBe(0);
    expect(served.denied).toBe(methods.length);
  });

  test.each<[string, () => grpc.ChannelCredentials]>([
    ['no certificate', () => authority.strangers],
    ['a certificate that has expired', () => authority.channel({ ...PEER, days: -1 })],
    ['a certificate that it signed itself', () => authority.channel({ ...PEER, selfSigned: true })],
    ['no TLS', () => grpc.credentials.createInsecure()],
  ])('is not reached by who has %s', async (_, credentials) => {
    const served = await serve('required');
    const client = clientOf(served, credentials());
    expect(refusedWith(await tryAll(served, client), 'UNAVAILABLE')).toEqual([]);
    expect(served.allowed + served.denied).toBe(0);
  });

  test('is refused to nobody where certificates are not asked for, and one that was not checked is nobody', async () => {
    const served = await serve('none');
    for (const credentials of [authority.strangers, authority.channel(PEER)])
      expect(refusedWith(await tryAll(served, clientOf(served, credentials)), 'UNAUTHENTICATED')).toEqual([]);
    expect(served.allowed).toBe(0);
  });

  test('is refused where certificates are optional to who has none, one that has expired, or one that it signed itself', async () => {
    const served = await serve('optional');
    for (const credentials of [authority.strangers, authority.channel({ ...PEER, days: -1 }), authority.channel({ ...PEER, selfSigned: true })])
      expect(refusedWith(await tryAll(served, clientOf(served, credentials)), 'UNAUTHENTICATED')).toEqual([]);
    expect(served.allowed).toBe(0);
    expect(notAllowed(await tryAll(served, clientOf(served, authority.channel(PEER))))).toEqual([]);
  });

  test('is called with a token that has every right, but for what is between replicas', async () => {
    const served = await serve('optional');
    const client = clientOf(served, authority.strangers);
    const found = await tryAll(served, client, bearer(await issuer.token('right')));
    expect(notAllowed(found)).toEqual(methods.filter(isForPeers).map(({ path }) => path));
  });

  test.each<[string, () => Promise<string>, string]>([
    ['an expired token', () => issuer.token('right', -60), 'UNAUTHENTICATED'],
    ['a token of another key', () => forger.token('right'), 'UNAUTHENTICATED'],
    ['a token with a signature that was exchanged', async () => swapped(await issuer.token('right'), await forger.token('right')), 'UNAUTHENTICATED'],
    ['a token without a signature', async () => unsigned(await issuer.token('right')), 'UNAUTHENTICATED'],
    ['a token for another audience', () => issuer.token('right', 600, { aud: 'somebody else' }), 'UNAUTHENTICATED'],
    ['a token of another issuer', () => issuer.token('right', 600, { iss: 'https://other.test' }), 'UNAUTHENTICATED'],
    ['a token that is not valid yet', () => issuer.token('right', 600, { nbf: Math.floor(Date.now() / 1000) + 300 }), 'UNAUTHENTICATED'],
    ['garbage', () => Promise.resolve('garbage'), 'UNAUTHENTICATED'],
    ['a token of another subject', () => issuer.token('wrong'), 'PERMISSION_DENIED'],
    ['a token whose subject looks like a replica', () => issuer.token(PEER.uri), 'PERMISSION_DENIED'],
  ])('is refused with %s', async (_, token, status) => {
    const served = await serve('optional');
    expect(refusedWith(await tryAll(served, clientOf(served, authority.strangers), bearer(await token())), status)).toEqual([]);
    expect(served.allowed).toBe(0);
  });

  test("is refused where a token without rights comes over a replica's or a client's own connection: the token is the caller", async () => {
    const served = await serve('required');
    const token = bearer(await issuer.token('wrong'));
    for (const wanted of [PEER, RIGHT]) {
      const found = await tryAll(served, clientOf(served, authority.channel(wanted)), token);
      expect(refusedWith(found, 'PERMISSION_DENIED')).toEqual([]);
    }
    await vi.waitUntil(() => served.denied === 2 * methods.length);
  });
});

/** The one's content with the other's signature. */
const swapped = (one: string, other: string): string => [...one.split('.').slice(0, 2), other.split('.')[2]].join('.');

const unsigned = (token: string): string => `${Buffer.from('{"alg":"none"}').toString('base64url')}.${token.split('.')[1]}.`;
