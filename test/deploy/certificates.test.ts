import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { spiffeIdIn } from '../../services/runtime/security/certificate.ts';
import { issue } from '../../deploy/certificates/issue.ts';
import { CLIENTS, neededCertificates, SERVICES } from '../../deploy/certificates/needed.ts';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
const needed = neededCertificates('shop', CLIENTS, ['loyalty']);
let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'txmesh-certificates-'))));
afterAll(() => rmSync(folder, { recursive: true }));

const issued = (secret: string) => issue(needed.find((each) => each.secret === secret)!, folder, 7);
const parse = (pem: string) => new X509Certificate(pem);

/** As a client checks it that calls a server by this name. */
const isFor = (name: string, pem: string): boolean => checkServerIdentity(name, parse(pem).toLegacyObject() as PeerCertificate) === undefined;

beforeEach((context) => void (hasOpenssl || context.skip('no openssl here, and certificates are made with it')));

describe('certificates for the manifests', () => {
  test.each(SERVICES)('%s is known by the names under which it is called', (service) => {
    const { cert } = issued(`${service}-tls`);
    for (const name of [service, `${service}.shop.svc`, `${service}-headless.shop.svc`, `${service}-0.${service}-headless.shop.svc`, 'localhost']) expect(isFor(name, cert), name).toBe(true);
    expect(parse(cert).checkIP('127.0.0.1')).toBe('127.0.0.1');
    for (const name of [`${service}-0.${service}-headless.bank.svc`, 'etcd', 'example.org']) expect(isFor(name, cert), name).toBe(false);
    expect(parse(cert).subjectAltName).toContain(`URI:spiffe://txmesh/service/${service}`);
    expect(spiffeIdIn(parse(cert).subjectAltName!)).toBe(`spiffe://txmesh/service/${service}`);
  });

  test.each(CLIENTS)('%s has an identity of its own, and no name of a server', (client) => {
    const { cert } = issued(`${client}-tls`);
    expect(spiffeIdIn(parse(cert).subjectAltName!)).toBe(`spiffe://txmesh/client/${client}`);
    expect(isFor('coordinator', cert)).toBe(false);
  });

  test("a user's participant is known by the names of its Service, and is no replica of the mesh", () => {
    const { cert } = issued('loyalty-tls');
    for (const name of ['loyalty', 'loyalty.shop', 'loyalty.shop.svc']) expect(isFor(name, cert), name).toBe(true);
    for (const name of ['participant', 'loyalty.bank.svc', 'localhost']) expect(isFor(name, cert), name).toBe(false);
    expect(spiffeIdIn(parse(cert).subjectAltName!)).toBe('spiffe://txmesh/participant/loyalty');
  });

  test.for<[string, string[], RegExp]>([
    ['a service', ['--participants', 'queue'], /there is a certificate "queue" already/],
    ['a client', ['--clients', 'shop', '--participants', 'shop'], /there is a certificate "shop" already/],
    ['what is no name', ['--clients', 'Shop'], /"Shop" must be of a-z/],
  ])('nobody is given the name of %s', ([, args, why]) => {
    const { status, stderr, stdout } = spawnSync(process.execPath, [join(import.meta.dirname, '../../deploy/certificates/main.ts'), '--authorities', folder, ...args], { encoding: 'utf8' });
    expect(stderr).toMatch(why);
    expect([status, stdout]).toEqual([2, '']);
  });

  test('members of etcd are known by the names that the servers and their peers use', () => {
    const { cert } = issued('etcd-tls');
    for (const name of ['etcd', 'etcd-0.etcd-headless', 'etcd-2.etcd-headless.shop.svc']) expect(isFor(name, cert), name).toBe(true);
  });

  test('etcd and the mesh have authorities of their own, which are kept', () => {
    const server = issued('coordinator-tls');
    const member = issued('etcd-tls');
    expect(parse(server.cert).verify(parse(server.ca).publicKey)).toBe(true);
    expect(parse(server.cert).verify(parse(member.ca).publicKey)).toBe(false);
    expect(issued('participant-tls').ca).toBe(server.ca);
    expect(issued('etcd-client-tls').ca).toBe(member.ca);
  });

  test('a renewed certificate is another one, and none is an authority', () => {
    const [one, two] = [issued('client-tls'), issued('client-tls')];
    expect(parse(one.cert).serialNumber).not.toBe(parse(two.cert).serialNumber);
    expect(parse(one.cert).ca).toBe(false);
  });
});
