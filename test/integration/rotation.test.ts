/** Certificates that are renewed under load, the authority too: no call may fail, not even one that is not retried. */

import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { connect, tlsFromFiles } from 'txmesh/client';
import type { Issued } from '../../deploy/certificates/issue.ts';
import { startMesh } from '../../services/runtime/router/testing/nodes.ts';
import { CertificateFiles } from '../../services/runtime/transport/certificate-files.ts';
import { channelCredentials, serverCredentials } from '../../services/runtime/transport/credentials.ts';
import { issueLocal, SecretVolume } from '../../services/runtime/transport/testing/secret-volume.ts';
import { Load, prepareLoad } from './support/load.ts';
import { plainGet } from './support/plain-get.ts';
import { folder, serve } from './support/processes.ts';
import { until } from './support/until.ts';

const POLL_MS = 20;
const CALLS_BETWEEN = 10;
const BOUND_MS = 30_000;
const NO_OPENSSL = 'no openssl here, and certificates are made with it';
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

const RETRIES_NOTHING = { 'grpc.enable_retries': 0, 'grpc.use_local_subchannel_pool': 1 };

describe('certificates that are renewed', () => {
  test('under load, with a new authority by way of a bundle of both, not one call fails', async (context) => {
    if (!hasOpenssl) return context.skip(NO_OPENSSL);
    const place = folder();
    const issued = (authority: string, name: string): Issued => issueLocal(join(place, authority), name);
    const volumes = Array.from({ length: 3 }, (_, i) => new SecretVolume(join(place, `volume-${i}`), issued('old', `party-${i}`)));
    const [one, two, mine] = volumes as [SecretVolume, SecretVolume, SecretVolume];
    const used: string[] = [];
    const log = (message: string, fields: Record<string, unknown>): void => void used.push(`${message} ${JSON.stringify(fields)}`);
    const credentialsFor = ({ files }: SecretVolume) => {
      const certificates = new CertificateFiles(files, { pollMs: POLL_MS, log });
      return { server: serverCredentials(certificates), channels: channelCredentials(certificates) };
    };
    const cluster = await startMesh({ partitions: 4, leaseTtlMs: 10_000, queues: ['queue'], counters: ['counter'] }, 0);
    onTestFinished(() => cluster.close());
    for (const volume of [one, two]) await cluster.add({}, { credentials: credentialsFor(volume), log: () => undefined });
    await Promise.all(cluster.nodes.map((node) => node.ready()));
    const addresses = cluster.nodes.map(({ address }) => address.replace('127.0.0.1', 'localhost'));
    const mesh = connect({ addresses, credentials: tlsFromFiles({ ...mine.files, pollMs: POLL_MS, log }) });
    onTestFinished(() => mesh.close());
    await prepareLoad(mesh);
    const load = new Load();
    const lasting = new grpc.Client(addresses[0]!, tlsFromFiles({ ...mine.files, pollMs: POLL_MS, log }), RETRIES_NOTHING);
    onTestFinished(() => lasting.close());
    let reconnected = false;
    await plainGet(lasting);
    lasting.getChannel().watchConnectivityState(grpc.connectivityState.READY, Infinity, () => void (reconnected = true));
    load.add('one connection', () => plainGet(lasting));
    load.add('a connection for each call', async () => {
      for (const address of addresses) {
        const client = new grpc.Client(address, tlsFromFiles(mine.files), RETRIES_NOTHING);
        await plainGet(client).finally(() => client.close());
      }
    });
    load.addSdk(mesh);
    await load.more(CALLS_BETWEEN);

    const next = { authority: 'new', ca: `${issued('old', 'x').ca}${issued('new', 'x').ca}` };
    for (const step of ['trust both', 'show the new', 'trust the new alone'] as const) {
      for (const [i, volume] of volumes.entries()) {
        const known = used.length;
        const secret = issued(step === 'trust both' ? 'old' : 'new', `party-${i}`);
        volume.renew(step === 'trust the new alone' ? secret : { ...secret, ca: next.ca });
        // The servers' has one user, mine has two beside those of a moment.
        await until(`party ${i} has heard`, BOUND_MS, () => used.length >= known + (volume === mine ? 2 : 1));
        await load.more(CALLS_BETWEEN);
      }
    }
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(reconnected).toBe(false);
    expect(used.filter((line) => line.includes('not used'))).toEqual([]);
    const newAuthority = new X509Certificate(issued('new', 'x').ca);
    for (const node of cluster.nodes) expect((await shownBy(node.port, issued('new', 'caller'))).verify(newAuthority.publicKey)).toBe(true);
    // Whom the old authority vouches for is a stranger now.
    const stranger = new grpc.Client(addresses[0]!, channelCredentials(new CertificateFiles(new SecretVolume(join(place, 'stranger'), { ...issued('old', 'x'), ca: next.ca }).files)), RETRIES_NOTHING);
    await expect(plainGet(stranger).finally(() => stranger.close())).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE });
    console.log(`calls: ${[...load.done].map(([what, count]) => `${what} ${count}`).join(', ')}`);
  });

  test('a server looks at its files as --certificate-poll says, and tells what it does in one line', async (context) => {
    if (!hasOpenssl) return context.skip(NO_OPENSSL);
    const place = folder();
    const volume = new SecretVolume(join(place, 'volume'), issueLocal(join(place, 'authority')));
    const { caFile, certFile, keyFile } = volume.files;
    const server = await serve(['--store', 'memory', '--tls-cert', certFile, '--tls-key', keyFile, '--tls-ca', caFile, '--certificate-poll', '100ms']);
    const lines = (): string[] => readFileSync(server.logFile, 'utf8').split('\n');
    const port = Number(server.address.split(':').at(-1));
    const [second, third] = [issueLocal(join(place, 'authority')), issueLocal(join(place, 'authority'))];
    const serial = async (): Promise<string> => (await shownBy(port, second)).serialNumber;
    volume.renew({ ...second, key: third.key });
    await until('it has said why it keeps the old one', BOUND_MS, () => lines().some((line) => line.includes('does not belong')), () => lines().join('\n'));
    expect(await serial()).not.toBe(new X509Certificate(second.cert).serialNumber);
    volume.renew(second);
    await until('the new certificate is shown', BOUND_MS, async () => (await serial()) === new X509Certificate(second.cert).serialNumber);
    expect(lines().filter((line) => line.includes('does not belong'))).toHaveLength(1);
    expect(lines().filter((line) => line.includes('new certificates are used'))).toHaveLength(1);
  });
});

/** The certificate that the server shows to a new connection. */
function shownBy(port: number, { ca, cert, key }: Issued): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, ca, cert, key, servername: 'localhost', ALPNProtocols: ['h2'], rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()!);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}
