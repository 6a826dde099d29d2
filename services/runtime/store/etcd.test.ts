import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEtcd, type EtcdCluster, type EtcdTls } from '../../../deploy/local/etcd.ts';
import { requireGoTools } from '../../../deploy/local/go-tool.ts';
import { systemClock } from '../clock.ts';
import { storeConformance } from './testing/conformance.ts';
import { AmbiguousWrite, LeaseLost, StoreFull, StoreUnavailable, StoreUnusable } from './errors.ts';
import { EtcdStore } from './etcd.ts';
import { openStore, type StoreSettings } from './open.ts';
import { prefixRange, type Store, type WatchEvent } from './store.ts';

const tools = await requireGoTools('etcd', 'etcdctl');
const WAIT = { timeout: 20_000, interval: 20 };
const PATIENCE_MS = 60_000;
const REQUEST_TIMEOUT_MS = 1000;

const value = Buffer.from('1');
let lastPrefix = 0;

describe.skipIf(tools === undefined)('the etcd store', { timeout: PATIENCE_MS }, () => {
  const stores: Store[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-tls-'));
  const open = async (cluster: EtcdCluster, more: Partial<StoreSettings> = {}): Promise<EtcdStore> => {
    const store = await openStore({
      store: 'etcd',
      clock: systemClock,
      etcdEndpoints: cluster.endpoints,
      etcdPrefix: `t${++lastPrefix}/`,
      etcdRequestTimeoutMs: REQUEST_TIMEOUT_MS,
      ...more,
    });
    if (!(store instanceof EtcdStore)) throw new Error('not an etcd store');
    stores.push(store);
    return store;
  };
  afterAll(async () => {
    for (const store of stores) await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  describe('on one server', () => {
    let cluster: EtcdCluster;
    beforeAll(async () => {
      cluster = await startEtcd(tools!);
    }, PATIENCE_MS);
    afterAll(() => cluster.stop());

    storeConformance('etcd', () => open(cluster, { etcdRequestTimeoutMs: 10_000 }));

    it('keeps clusters with other prefixes apart, and shows keys to etcdctl', async () => {
      const [one, other] = [await open(cluster, { etcdPrefix: 'one/' }), await open(cluster, { etcdPrefix: 'other/' })];
      await one.write({ puts: [{ key: 'a', value: Buffer.from('mine') }] });
      expect(await other.get(['a'])).toEqual([undefined]);
      await other.write({ deleteRanges: [prefixRange('a')] });
      expect(await cluster.etcdctl('get', 'one/a')).toBe('one/a\nmine\n');
    });

    it('a lease that nobody renews ends with its keys, and one that is renewed does not', async () => {
      const store = await open(cluster);
      const [kept, lost] = [await store.grantLease(1500), await store.grantLease(1500)];
      await store.write({ puts: [{ key: 'live/kept', value, lease: kept }, { key: 'live/lost', value, lease: lost }] });
      const events: WatchEvent[] = [];
      const watch = store.watch(prefixRange('live/'), { onSnapshot: () => undefined, onEvents: (more) => events.push(...more) });
      await expect.poll(async () => {
        await kept.renew();
        return events;
      }, { timeout: 20_000, interval: 300 }).toEqual([{ type: 'delete', key: 'live/lost' }]);
      expect(await store.get(['live/kept', 'live/lost'])).toEqual([value, undefined]);
      await expect(lost.renew()).rejects.toThrow(LeaseLost);
      watch.close();
    });

    it('compacts what is older than the compaction before, and watches go on', async () => {
      const store = await open(cluster);
      const lease = await store.grantLease(60_000);
      const first = await store.write({ puts: [{ key: 'live/a', value, lease }] });
      await store.compact();
      const keys: string[] = [];
      const watch = store.watch(prefixRange('live/'), { onSnapshot: (entries) => keys.push(...entries.keys()), onEvents: (events) => keys.push(...events.map(({ key }) => key)) });
      await expect.poll(() => keys, WAIT).toEqual(['live/a']);
      await store.write({ puts: [{ key: 'live/b', value, lease }] });
      await store.compact();
      await store.compact();
      await store.write({ puts: [{ key: 'live/c', value, lease }] });
      await expect.poll(() => keys, WAIT).toEqual(['live/a', 'live/b', 'live/c']);
      if (first.type !== 'written') throw new Error('refused');
      await expect(cluster.etcdctl('get', 'x', `--rev=${first.revision}`)).rejects.toThrow('compacted');
      watch.close();
    });

    it('reports the bytes in use against the quota of the settings', async () => {
      const store = await open(cluster, { etcdQuotaBytes: 12345 });
      const { usedBytes, limitBytes } = await store.size();
      expect(usedBytes).toBeGreaterThan(0);
      expect(limitBytes).toBe(12345);
    });
  });

  describe('when the server fails', () => {
    let cluster: EtcdCluster;
    beforeAll(async () => {
      cluster = await startEtcd(tools!);
    }, PATIENCE_MS);
    afterAll(() => cluster.stop());

    it('a paused server makes a write ambiguous and a read unavailable, in bounded time', async () => {
      const store = await open(cluster);
      const lease = await store.grantLease(30_000);
      await store.write({ puts: [{ key: 'a', value }] });
      const [server] = cluster.members;
      server!.pause();
      const start = performance.now();
      await Promise.all([
        expect(store.write({ puts: [{ key: 'a', value: Buffer.from('2') }] })).rejects.toThrow(AmbiguousWrite),
        expect(store.get(['a'])).rejects.toThrow(StoreUnavailable),
        expect(lease.renew()).rejects.toThrow(StoreUnavailable),
        expect(lease.revoke()).rejects.toThrow(StoreUnavailable),
        expect(store.size()).rejects.toThrow(StoreUnavailable),
      ]);
      expect(performance.now() - start).toBeLessThan(3 * REQUEST_TIMEOUT_MS);
      server!.resume();
      await expect.poll(() => store.get(['none']).catch(() => 'not yet'), WAIT).toEqual([undefined]);
      await lease.revoke();
    });

    it('a write that never left is unavailable, not ambiguous, and watches and calls come back with the server', async () => {
      const store = await open(cluster);
      const lease = await store.grantLease(60_000);
      await store.write({ puts: [{ key: 'live/a', value, lease }] });
      let snapshots: string[][] = [];
      const watch = store.watch(prefixRange('live/'), { onSnapshot: (entries) => snapshots.push([...entries.keys()]), onEvents: () => undefined });
      await expect.poll(() => snapshots, WAIT).toEqual([['live/a']]);
      snapshots = [];
      const [server] = cluster.members;
      await server!.kill();
      await expect.poll(() => store.write({ puts: [{ key: 'a', value }] }).catch((error: unknown) => error), WAIT).toBeInstanceOf(StoreUnavailable);
      server!.start();
      await expect.poll(() => store.write({ puts: [{ key: 'b', value }] }).catch(() => 'not yet'), WAIT).toMatchObject({ type: 'written' });
      expect(await store.get(['a'])).toEqual([undefined]);
      await expect.poll(() => snapshots.length, WAIT).toBeGreaterThan(0);
      expect(snapshots[0]).toEqual(['live/a']);
      await lease.renew();
      watch.close();
    });

    it('opening against nobody fails in bounded time, in one line that names --etcd-endpoints', async () => {
      const endpoints = ['http://127.0.0.1:1'];
      const opening = openStore({ store: 'etcd', clock: systemClock, etcdEndpoints: endpoints, etcdOpenTimeoutMs: 500 });
      await expect(opening).rejects.toThrow(/^etcd at http:\/\/127\.0\.0\.1:1 gives no answer within 500 ms \(setting --etcd-endpoints\): .*$/);
      for (const wrong of [[], ['127.0.0.1:2379'], ['http://a:1', 'https://b:1']]) {
        await expect(openStore({ store: 'etcd', clock: systemClock, etcdEndpoints: wrong })).rejects.toThrow(StoreUnusable);
      }
    });
  });

  it('over the quota a write is refused as full and has changed nothing, or is called ambiguous', async () => {
    const cluster = await startEtcd({ ...tools!, flags: ['--quota-backend-bytes=8388608'] });
    try {
      const store = await open(cluster);
      const errors: unknown[] = [];
      for (let number = 0; errors.length < 3; number++) {
        await store.write({ puts: [{ key: `k/${number}`, value: Buffer.alloc(500_000) }] }).catch(async (error: unknown) => {
          errors.push(error);
          if (error instanceof StoreFull) expect(await store.get([`k/${number}`])).toEqual([undefined]);
        });
      }
      expect(errors.every((error) => error instanceof StoreFull || error instanceof AmbiguousWrite)).toBe(true);
      expect(errors.at(-1)).toBeInstanceOf(StoreFull);
      await store.write({ deletes: ['k/0'] });
    } finally {
      await cluster.stop();
    }
  });

  it('authenticates by password, again when the token has ended, and is told when it is wrong', async () => {
    const cluster = await startEtcd({ ...tools!, rootPassword: 'right' });
    try {
      const user = { etcdUser: 'root', etcdPassword: 'right' };
      const store = await open(cluster, user);
      const lease = await store.grantLease(60_000);
      await store.write({ puts: [{ key: 'live/a', value, lease }] });
      const keys: string[] = [];
      const watch = store.watch(prefixRange('live/'), { onSnapshot: (entries) => keys.push(...entries.keys()), onEvents: () => undefined });
      await expect.poll(() => keys, WAIT).toEqual(['live/a']);
      await expect(open(cluster, { ...user, etcdPassword: 'wrong' })).rejects.toThrow('--etcd-password');
      await expect(open(cluster)).rejects.toThrow('--etcd-user');
      // A server that starts again knows none of the tokens that it gave.
      await cluster.members[0]!.kill();
      cluster.members[0]!.start();
      await expect.poll(() => store.write({ puts: [{ key: 'a', value }] }).catch(() => 'not yet'), WAIT).toMatchObject({ type: 'written' });
      await lease.renew();
      await expect.poll(() => keys, WAIT).toEqual(['live/a', 'live/a']);
      watch.close();
    } finally {
      await cluster.stop();
    }
  });

  it('speaks mutual TLS, and follows certificate files that change', async () => {
    const tls = makeCertificates(folder);
    const trusted = join(folder, 'trusted.pem');
    copyFileSync(tls.ca, trusted);
    const cluster = await startEtcd({ ...tools!, tls: { ...tls, clientCa: trusted } });
    try {
      const used = { ca: join(folder, 'used-ca.pem'), cert: join(folder, 'used-cert.pem'), key: join(folder, 'used-key.pem') };
      copyFileSync(tls.ca, used.ca);
      copyFileSync(tls.clientCert!, used.cert);
      copyFileSync(tls.clientKey!, used.key);
      const files = { etcdCa: used.ca, etcdCert: used.cert, etcdKey: used.key };
      const said: string[] = [];
      const store = await open(cluster, { ...files, etcdCertificatePollMs: 20, log: (message, fields) => said.push(`${message} ${JSON.stringify(fields)}`) });
      const lease = await store.grantLease(60_000);
      await store.write({ puts: [{ key: 'live/a', value, lease }] });
      const snapshots: string[][] = [];
      const watch = store.watch(prefixRange('live/'), { onSnapshot: (entries) => snapshots.push([...entries.keys()]), onEvents: () => undefined });
      await expect.poll(() => snapshots.length, WAIT).toBe(1);

      // Half way through a rotation the files do not fit: the old ones stay in use.
      writeFileSync(used.cert, 'half a file');
      await expect.poll(() => said.length, WAIT).toBe(1);
      expect(said[0]).toContain(`not used, those before stay in use {"error":"the TLS file ${used.cert} holds no certificate`);
      await store.write({ puts: [{ key: 'a', value }] });
      copyFileSync(join(folder, 'client2.key'), used.key);
      copyFileSync(join(folder, 'client2.pem'), used.cert);
      await expect.poll(() => said.at(-1), WAIT).toContain('new certificates are used from now on {"subject":"CN=client2"');
      // What stands goes on; what connects anew shows the new certificate, to a member that takes no other any more.
      expect(snapshots).toHaveLength(1);
      await lease.renew();
      // The member's own certificate is there because it calls itself.
      writeFileSync(trusted, ['other-ca.pem', 'server.pem'].map((name) => readFileSync(join(folder, name), 'utf8')).join(''));
      await cluster.members[0]!.kill();
      cluster.members[0]!.start();
      await expect.poll(() => snapshots.length, WAIT).toBe(2);
      expect(snapshots[1]).toEqual(['live/a']);
      await lease.renew();
      await store.write({ puts: [{ key: 'live/b', value, lease }] });
      expect(await store.get(['a', 'live/b'])).toEqual([value, value]);
      watch.close();

      const nobody = { etcdCa: used.ca, etcdOpenTimeoutMs: 500 };
      await expect(open(cluster, nobody)).rejects.toThrow('--etcd-endpoints');
      await expect(open(cluster, { ...files, etcdCa: join(folder, 'none.pem') })).rejects.toThrow('--etcd-ca');
    } finally {
      await cluster.stop();
    }
  });

  it('goes on with the other members when one is killed or paused', async () => {
    const cluster = await startEtcd({ ...tools!, members: 3 });
    try {
      const store = await open(cluster);
      const tryWrite = (key: string): Promise<unknown> => store.write({ puts: [{ key, value }] }).catch((error: unknown) => error);
      await cluster.members[0]!.kill();
      await expect.poll(() => tryWrite('a'), WAIT).toMatchObject({ type: 'written' });
      cluster.members[0]!.start();
      for (const member of cluster.members) {
        await expect.poll(() => tryWrite('b'), WAIT).toMatchObject({ type: 'written' });
        member.pause();
        await expect.poll(() => tryWrite('c'), WAIT).toMatchObject({ type: 'written' });
        expect(await store.get(['c'])).toEqual([value]);
        member.resume();
      }
    } finally {
      await cluster.stop();
    }
  });
});

/** An authority, a server's certificate for 127.0.0.1, and two of clients; the second is from another authority. */
function makeCertificates(folder: string): EtcdTls {
  const openssl = (...flags: string[]): void => void execFileSync('openssl', flags, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const name of ['ca', 'other-ca'])
    openssl('req', '-x509', ...key, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=test authority ${name}`);
  writeFileSync(join(folder, 'server.ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n');
  writeFileSync(join(folder, 'client.ext'), 'extendedKeyUsage=clientAuth\n');
  for (const name of ['server', 'client1', 'client2']) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const authority = name === 'client2' ? 'other-ca' : 'ca';
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', `${authority}.pem`, '-CAkey', `${authority}.key`, '-CAcreateserial', '-days', '2', '-out', `${name}.pem`,
      '-extfile', name === 'server' ? 'server.ext' : 'client.ext');
  }
  const path = (file: string): string => join(folder, file);
  return {
    ca: path('ca.pem'),
    cert: path('server.pem'),
    key: path('server.key'),
    clientCert: path('client1.pem'),
    clientKey: path('client1.key'),
  };
}
