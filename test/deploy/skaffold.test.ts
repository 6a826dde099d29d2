import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const config = parse(read('skaffold.yaml'));
const pipelines: any[] = [config, ...config.profiles];
const dockerfile = read('deploy/image/Dockerfile');

const validate = new Ajv({ strict: false, allErrors: true }).compile(JSON.parse(read('test/deploy/schema/skaffold-v4beta14.json')));
const errorsOf = (candidate: unknown): string[] => (validate(candidate) ? [] : validate.errors!.map(({ instancePath, message }) => `${instancePath} ${message}`));

describe('skaffold.yaml', () => {
  test('keeps the schema of its version', () => {
    expect(config.apiVersion).toBe('skaffold/v4beta14');
    expect(errorsOf(config)).toEqual([]);
  });

  test('is held against a schema that sees an unknown field, and one of another type', () => {
    expect(errorsOf({ ...config, bogus: 1 })).not.toEqual([]);
    expect(errorsOf({ ...config, portForward: [{ port: {} }] })).not.toEqual([]);
  });

  test('builds targets of the Dockerfile, and deploys overlays that are there', () => {
    for (const { build, manifests } of pipelines) {
      for (const { docker, context } of build?.artifacts ?? []) {
        expect(context).toBe('.');
        expect(existsSync(join(root, docker.dockerfile))).toBe(true);
        expect(dockerfile).toMatch(new RegExp(`^FROM \\S+ AS ${docker.target}$`, 'm'));
      }
      for (const folder of manifests.kustomize.paths) expect(existsSync(join(root, folder, 'kustomization.yaml'))).toBe(true);
    }
  });

  test('has profiles for development, load and production', () => {
    expect(config.profiles.map(({ name }: { name: string }) => name)).toEqual(expect.arrayContaining(['dev', 'load', 'production']));
  });

  test('deploys what fails on purpose for the profile faults alone', () => {
    const deploying = pipelines.filter(({ manifests }) => manifests.kustomize.paths.includes('deploy/overlays/faults')).map(({ name }) => name);
    expect(deploying).toEqual(['faults']);
    expect(config.profiles.find(({ name }: { name: string }) => name === 'production').manifests.kustomize.paths).toEqual(['deploy/overlays/production']);
  });

  test('copies sources to where the image has them', () => {
    const { artifacts } = config.profiles.find(({ name }: { name: string }) => name === 'dev').build;
    const [{ src, dest }] = artifacts[0].sync.manual;
    expect(globSync(src, { cwd: root })).toContain('services/main.ts');
    expect(dockerfile).toContain(`WORKDIR ${dest}\n`);
  });
});

/** The schema holds everywhere; what skaffold itself makes of the file is seen where it is installed. */
const isInstalled = spawnSync('skaffold', ['version']).status === 0;
if (!isInstalled) console.error('\n!!! skaffold IS NOT INSTALLED: `skaffold render` WAS NOT TRIED\n');
else
  test.each([undefined, ...config.profiles.map(({ name }: { name: string }) => name)])('skaffold render, profile %s', (profile) => {
    const args = ['render', '--offline=true', '--digest-source=none', ...(profile === undefined ? [] : ['--profile', profile])];
    const { stdout, stderr, status } = spawnSync('skaffold', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
    expect(status, stderr).toBe(0);
    const kinds = parseAllDocuments(stdout).map((document) => document.toJS()?.kind);
    expect(kinds).toEqual(expect.arrayContaining(['Namespace', 'StatefulSet', 'Service']));
  });
