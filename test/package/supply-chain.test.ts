import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { name: string; version: string; license: string; dependencies: Record<string, string> };
const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, { name?: string; version: string; license?: string; dev?: boolean; integrity?: string }>;
};

/** Licences that let the package be used, changed and passed on under its own; anything else is to be looked at first. */
const ALLOWED_LICENCES = new Set(['Apache-2.0', 'MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD']);
const BULK = '/-/npm/v1/security/advisories/bulk';

/** An SPDX expression without nesting, "(Apache-2.0 AND BSD-3-Clause)". */
function isAllowed(licence = ''): boolean {
  const parts = licence.replace(/^\((.*)\)$/, '$1');
  const allowed = (each: string): boolean => ALLOWED_LICENCES.has(each);
  return parts.includes(' OR ') ? parts.split(' OR ').some(allowed) : parts.split(' AND ').every(allowed);
}

/** Of the lock file, by name@version. */
const production = Object.entries(lock.packages)
  .filter(([place, { dev }]) => place !== '' && dev !== true)
  .map(([place, entry]) => ({ id: `${place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length)}@${entry.version}`, ...entry }));

describe('dependencies for production', () => {
  test('are under licences that allow what ours does', () => {
    expect(production.length).toBeGreaterThan(Object.keys(manifest.dependencies).length);
    expect(production.filter(({ license }) => !isAllowed(license)).map(({ id, license }) => `${id}: ${license}`)).toEqual([]);
  });

  test('are held by version and hash', () => {
    for (const [name, version] of Object.entries(manifest.dependencies)) expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
    expect(production.filter(({ integrity }) => integrity === undefined || !integrity.startsWith('sha512-')).map(({ id }) => id)).toEqual([]);
  });
});

describe('the bill of materials that npm run build writes', () => {
  interface Component {
    readonly 'bom-ref': string;
    readonly type: string;
    readonly name: string;
    readonly version: string;
    readonly purl: string;
    readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
    readonly licenses?: readonly unknown[];
  }
  let bom: {
    readonly bomFormat: string;
    readonly specVersion: string;
    readonly serialNumber: string;
    readonly metadata: { readonly timestamp: string; readonly component: Component };
    readonly components: readonly Component[];
    readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
  };

  beforeAll(() => {
    const built = spawnSync(process.execPath, [path.join(root, 'deploy/local/bootstrap.cjs'), 'build'], { cwd: root, encoding: 'utf8' });
    expect(built.status, built.stderr).toBe(0);
    bom = JSON.parse(readFileSync(path.join(root, 'dist/sbom.cdx.json'), 'utf8')) as typeof bom;
  });

  test('is CycloneDX, about this package', () => {
    expect(bom).toMatchObject({ bomFormat: 'CycloneDX', specVersion: expect.stringMatching(/^1\.\d$/), serialNumber: expect.stringMatching(/^urn:uuid:[0-9a-f-]{36}$/) });
    const { name, version } = manifest;
    expect(bom.metadata.component).toMatchObject({ type: 'application', name, version, purl: `pkg:npm/${name}@${version}` });
    expect(Date.parse(bom.metadata.timestamp)).not.toBeNaN();
  });

  test('names what the lock file does for production, each with its hash and licence, and nothing else', () => {
    const refs = bom.components.map(({ name, version }) => `${name}@${version}`);
    expect(new Set(refs)).toEqual(new Set(production.map(({ id }) => id)));
    for (const component of bom.components) {
      expect(component).toMatchObject({ type: 'library', purl: expect.stringMatching(/^pkg:npm\//), licenses: [expect.anything()] });
      expect(component.hashes, component.name).toEqual([{ alg: 'SHA-512', content: expect.stringMatching(/^[0-9a-f]{128}$/) }]);
    }
    const known = new Set([bom.metadata.component['bom-ref'], ...bom.components.map((component) => component['bom-ref'])]);
    for (const { ref, dependsOn } of bom.dependencies) for (const each of [ref, ...dependsOn]) expect(known).toContain(each);
  });
});

describe('npm run audit', () => {
  /** @param answer what a registry says when it is asked for advisories; undefined: it takes no such question */
  async function audit(answer: object | undefined, ...args: string[]) {
    const registry = createServer((request, response) => {
      const isBulk = request.url === BULK;
      const known = isBulk ? answer : packument(request.url!);
      response.writeHead(known === undefined ? 405 : 200, { 'content-type': 'application/json' }).end(known && JSON.stringify(known));
      request.resume();
    }).listen(0, '127.0.0.1');
    await once(registry, 'listening');
    const cache = mkdtempSync(path.join(tmpdir(), 'txmesh-npm-cache-'));
    onTestFinished(() => rmSync(cache, { recursive: true, force: true }));
    onTestFinished(() => void registry.close());
    const env = { ...process.env, npm_config_registry: `http://127.0.0.1:${(registry.address() as AddressInfo).port}/`, npm_config_fetch_retries: '0', npm_config_cache: cache };
    const child = spawn(process.execPath, [path.join(root, 'deploy/local/bootstrap.cjs'), 'audit', ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    const [code] = (await once(child, 'close')) as [number];
    return { code, output };
  }

  function packument(url: string): object | undefined {
    const name = decodeURIComponent(url.slice(1));
    const versions = production.filter(({ id }) => id.startsWith(`${name}@`)).map(({ version }) => version);
    return versions.length === 0 ? undefined : { name, versions: Object.fromEntries(versions.map((version) => [version, { name, version, dist: {} }])) };
  }

  const advisory = (severity: string) => ({
    pino: [{ id: 1, url: 'https://example.org/1', title: 'Logs too much', severity, vulnerable_versions: '*', cwe: [], cvss: { score: 0, vectorString: null } }],
  });

  test('is content where nothing is known, and with what is moderate', async () => {
    expect(await audit({})).toMatchObject({ code: 0, output: expect.stringContaining('0 vulnerable') });
    expect(await audit(advisory('moderate'))).toMatchObject({ code: 0, output: expect.stringContaining('1 vulnerable, 0 of them high') });
  });

  test('fails with what is high, and names it', async () => {
    const { code, output } = await audit(advisory('high'));
    expect(output).toContain('high: pino *: Logs too much (https://example.org/1)');
    expect(code).toBe(1);
  });

  test('says loudly that a registry does not tell, and fails only where it must not be so', async () => {
    expect(await audit(undefined)).toMatchObject({ code: 0, output: expect.stringContaining('NOT AUDITED') });
    expect(await audit(undefined, '--required')).toMatchObject({ code: 1, output: expect.stringContaining('NOT AUDITED') });
    expect(await audit({}, '--requried')).toMatchObject({ code: 2, output: expect.stringContaining('--required') });
  });
});
