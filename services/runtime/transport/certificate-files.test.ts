import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readlinkSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Issued } from '../../../deploy/certificates/issue.ts';
import { GetRequest, GetResponse, KeyValueServiceService as KeyValue } from '../../gen/txmesh/keyvalue/v1/keyvalue.ts';
import { systemClock } from '../clock.ts';
import { CertificateFiles } from './certificate-files.ts';
import { Channels } from './channels.ts';
import { channelCredentials, serverCredentials } from './credentials.ts';
import type { Handlers } from './service.ts';
import { openServer } from './testing/mesh.ts';
import { issueLocal, SecretVolume } from './testing/secret-volume.ts';

/** Files that can't be read, though nothing else tells so: what chmod would do to others than root. */
const unreadable = vi.hoisted(() => new Set<string>());
vi.mock(import('node:fs'), async (importOriginal) => {
  const fs = await importOriginal();
  const readFileSync = ((path: string, ...rest: []) => {
    if (unreadable.has(path)) throw new Error(`EACCES: permission denied, open '${path}'`);
    return fs.readFileSync(path, ...rest);
  }) as typeof fs.readFileSync;
  return { ...fs, readFileSync };
});

const POLL_MS = 10;
const WAIT = { timeout: 10_000 };
const GET: GetRequest = { ...GetRequest.decode(new Uint8Array()), participant: 'p', collection: 'c', key: 'k' };
const GOT = GetResponse.decode(new Uint8Array());

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
let folder = '';
let first: Issued;
let second: Issued;
let volumes = 0;
beforeEach((context) => void (hasOpenssl || context.skip('no openssl here, and certificates are made with it')));
beforeAll(() => {
  if (!hasOpenssl) return;
  folder = mkdtempSync(join(tmpdir(), 'txmesh-tls-'));
  first = issueLocal(join(folder, 'authority'));
  second = issueLocal(join(folder, 'authority'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const newVolume = (secret = first): SecretVolume => new SecretVolume(join(folder, `volume-${volumes++}`), secret);
const serialOf = (pem: string): string => new X509Certificate(pem).serialNumber;

/** A server on certificates from a volume, with what was said of them. */
async function openTlsServer(volume: SecretVolume) {
  const said: { readonly message: string; readonly fields: Record<string, unknown> }[] = [];
  const certificates = new CertificateFiles(volume.files, { pollMs: POLL_MS, log: (message, fields) => void said.push({ message, fields }) });
  const { server } = openServer({ credentials: serverCredentials(certificates) });
  server.add(KeyValue, { get: async () => GOT } as unknown as Handlers<typeof KeyValue>);
  return { said, server, port: await server.listen('127.0.0.1', 0) };
}

/** The serial number of the certificate that a new connection is shown. */
function shown(port: number, { ca, cert, key }: Issued = first): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca, cert, key, servername: 'localhost', ALPNProtocols: ['h2'] }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

const openSecure = (secret: SecretVolume['files']): Channels => {
  const channels = new Channels({ clock: systemClock, credentials: channelCredentials(new CertificateFiles(secret, { pollMs: POLL_MS })) });
  onTestFinished(() => channels.close());
  return channels;
};

describe('certificate files', () => {
  it('new handshakes are shown the new certificate, and connections that stand go on', async () => {
    const volume = newVolume();
    const { said, port } = await openTlsServer(volume);
    const channels = openSecure(newVolume().files);
    const address = `127.0.0.1:${port}`;
    await channels.unary(address, KeyValue.get, GET);
    expect(await shown(port)).toBe(serialOf(first.cert));
    const client = (Reflect.get(channels, 'entries') as Map<string, { client: grpc.Client }>).get(address)!.client;
    let left = false;
    client.getChannel().watchConnectivityState(grpc.connectivityState.READY, Infinity, () => void (left = true));
    volume.renew(second);
    await vi.waitUntil(() => said.length > 0, WAIT);
    expect(await shown(port)).toBe(serialOf(second.cert));
    await channels.unary(address, KeyValue.get, GET);
    expect(left).toBe(false);
    expect(said).toEqual([{ message: 'new certificates are used from now on', fields: expect.objectContaining({ serialNumber: serialOf(second.cert) }) }]);
  });

  it.each([
    ['half a certificate', () => ({ ...second, cert: second.cert.slice(0, second.cert.length / 2) }), 'tls.crt is cut off'],
    ['half an authority', () => ({ ...second, ca: `${second.ca}${second.ca.slice(0, 100)}` }), 'ca.crt is cut off'],
    ['an empty file', () => ({ ...second, ca: '' }), 'ca.crt holds no certificate'],
    ['a key of another certificate', () => ({ ...second, key: first.key }), 'does not belong to the certificate'],
    ['half a key', () => ({ ...second, key: second.key.slice(0, 60) }), 'tls.key holds no private key'],
  ])('%s is not used: what was there stays, and one line says so', async (_what, secret, reason) => {
    const volume = newVolume();
    const { said, port } = await openTlsServer(volume);
    volume.renew(secret());
    await vi.waitUntil(() => said.length > 0, WAIT);
    const looks = vi.fn();
    const timer = setInterval(looks, POLL_MS);
    onTestFinished(() => clearInterval(timer));
    expect(await shown(port)).toBe(serialOf(first.cert));
    await vi.waitUntil(() => looks.mock.calls.length >= 5, WAIT);
    expect(said).toEqual([{ message: 'new certificate files are not used, those before stay in use', fields: { error: expect.stringContaining(reason) } }]);
    volume.renew(second);
    await vi.waitUntil(() => said.length > 1, WAIT);
    expect(await shown(port)).toBe(serialOf(second.cert));
  });

  it('files that could not be read for a moment, and then look as they did, are used', async () => {
    const volume = newVolume();
    const { said, port } = await openTlsServer(volume);
    const { keyFile } = volume.files;
    const target = readlinkSync(keyFile);
    // A link to itself can't be followed, which is another error than a file that is absent.
    unlinkSync(keyFile);
    symlinkSync('tls.key', keyFile);
    volume.renew(second);
    await vi.waitUntil(() => said.length > 0, WAIT);
    expect(said).toEqual([{ message: 'new certificate files are not used, those before stay in use', fields: { error: expect.stringContaining("tls.key can't be read") } }]);
    unlinkSync(keyFile);
    symlinkSync(target, keyFile);
    await vi.waitUntil(() => said.length > 1, WAIT);
    expect(await shown(port)).toBe(serialOf(second.cert));
  });

  it('files whose first reading failed are read again though they have not changed', async () => {
    const volume = newVolume();
    const { said, port } = await openTlsServer(volume);
    unreadable.add(volume.files.keyFile);
    onTestFinished(() => unreadable.clear());
    volume.renew(second);
    await vi.waitUntil(() => said.length > 0, WAIT);
    unreadable.clear();
    await vi.waitUntil(() => said.length > 1, WAIT);
    expect(await shown(port)).toBe(serialOf(second.cert));
  });

  it('a caller shows its new certificate when it connects anew, and one from no known authority is refused', async () => {
    const stranger = issueLocal(join(folder, 'another-authority'));
    const { port, server } = await openTlsServer(newVolume());
    const mine = newVolume({ ...stranger, ca: first.ca });
    const channels = openSecure(mine.files);
    await expect(channels.unary(`127.0.0.1:${port}`, KeyValue.get, GET)).rejects.toThrow();
    mine.renew(second);
    await vi.waitFor(() => channels.unary(`127.0.0.1:${port}`, KeyValue.get, GET), WAIT);
    await server.close(0);
  });

  it('files are only looked at while somebody uses them', async () => {
    const volume = newVolume();
    const timers = { set: 0, cancelled: 0 };
    const clock = {
      ...systemClock,
      setTimer: (delayMs: number, call: () => void) => {
        timers.set++;
        const timer = systemClock.setTimer(delayMs, call);
        return { cancel: () => (timers.cancelled++, timer.cancel()) };
      },
    };
    const certificates = new CertificateFiles(volume.files, { clock, pollMs: 60_000 });
    expect(timers.set).toBe(0);
    const listener = vi.fn();
    certificates.addIdentityCertificateListener(listener);
    await vi.waitUntil(() => listener.mock.calls.length > 0, WAIT);
    certificates.removeIdentityCertificateListener(listener);
    expect(timers).toEqual({ set: 1, cancelled: 1 });
    // What changed while nobody looked is seen at once.
    volume.renew(second);
    const later = vi.fn();
    certificates.addIdentityCertificateListener(later);
    await vi.waitUntil(() => later.mock.calls.length > 0, WAIT);
    expect(later.mock.calls.at(-1)).toEqual([{ certificate: Buffer.from(second.cert), privateKey: Buffer.from(second.key) }]);
    certificates.removeIdentityCertificateListener(later);
  });

  it('what can not be used at the start is refused, naming the file', () => {
    const broken = join(folder, 'broken.pem');
    writeFileSync(broken, 'no certificate');
    const { certFile } = newVolume().files;
    expect(() => new CertificateFiles({ caFile: broken })).toThrow(broken);
    expect(() => new CertificateFiles({ certFile })).toThrow('go together');
    expect(() => new CertificateFiles({ certFile, keyFile: join(folder, 'absent') })).toThrow('absent');
  });
});
