import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Ajv } from 'ajv';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { findKustomize, render, type Kustomize } from './support/kustomize.ts';
import { podsIn, serverOf, type Probe, type Resource } from './support/resource.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const config = parse(read('skaffold.yaml'));
const pipelines: any[] = [config, ...config.profiles];
const dockerfile = read('deploy/image/Dockerfile');
/**
 * What skaffold makes of a profile: a list that it has takes the place of the one below it, and so does a deployer
 * with its hooks; single values stay where it has none.
 */
const effective = (profile: any): any => ({
  name: profile.name ?? 'none',
  overlay: profile.manifests.kustomize.paths[0],
  portForward: profile.portForward ?? config.portForward,
  deploy: { ...config.deploy, ...profile.deploy },
});
const profiles = pipelines.map(effective);

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

describe('the image that is built to be served', () => {
  const served: any[] = pipelines.flatMap(({ build }) => build?.artifacts ?? []).filter(({ docker }) => docker.target === 'runtime');
  /** As skaffold's function `cmd` runs it. */
  const made = (template: string, cwd: string): string => {
    const [, command] = /^\{\{cmd "sh" "-c" "([^"]+)"\}\}$/.exec(template) ?? [];
    return execFileSync('sh', ['-c', command!], { cwd, encoding: 'utf8' }).trim();
  };

  test('is labelled with this version, and every argument is one of the Dockerfile', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    expect(served.length).toBeGreaterThan(1);
    for (const { docker } of served) {
      expect(docker.buildArgs.VERSION).toBe(version);
      expect(Object.keys(docker.buildArgs).toSorted()).toEqual(['CREATED', 'REVISION', 'VERSION']);
      for (const name of Object.keys(docker.buildArgs)) expect(dockerfile).toMatch(new RegExp(`^ARG ${name}=`, 'm'));
    }
  });

  test('is labelled with the commit and its time, the same at every build of it', () => {
    for (const { docker } of served) {
      const { REVISION, CREATED } = docker.buildArgs;
      const [revision, created] = [made(REVISION, root), made(CREATED, root)];
      expect(revision).toMatch(existsSync(join(root, '.git')) ? /^[0-9a-f]{40}(-dirty)?$/ : /^unknown$/);
      if (revision !== 'unknown') expect(Date.parse(created)).toBeLessThanOrEqual(Date.now());
      expect([made(REVISION, root), made(CREATED, root)]).toEqual([revision, created]);
    }
  });

  test('can be built from sources without their history', () => {
    const folder = mkdtempSync(join(tmpdir(), 'txmesh-no-history-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    for (const { docker } of served) for (const name of ['REVISION', 'CREATED']) expect(made(docker.buildArgs[name], folder)).toBe('unknown');
  });
});

describe.each(profiles)('with the profile $name', ({ overlay, portForward, deploy }) => {
  let kustomize: Kustomize;
  let resources: Resource[] = [];
  beforeAll(async () => {
    kustomize = await findKustomize();
    if (kustomize.command !== undefined) resources = await render(kustomize.command, join(root, overlay));
  }, 600_000);
  const named = (kind: string): Resource[] => resources.filter((each) => each.kind === kind);
  const commands = (): string[] => (deploy.kubectl.hooks?.before ?? []).map(({ host }: any) => host.command.join(' '));

  test('the ports that are forwarded are those of Services that are deployed', (context) => {
    if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
    const ports = named('Service').flatMap(({ metadata, spec }) => spec.ports.map(({ port }: { port: number }) => `${metadata.namespace} ${metadata.name} ${port}`));
    expect(portForward.length).toBeGreaterThan(0);
    for (const { resourceType, resourceName, namespace, port } of portForward) {
      expect(resourceType).toBe('service');
      expect(ports).toContain(`${namespace} ${resourceName} ${port}`);
    }
  });

  test('a Job of an earlier run is out of the way', (context) => {
    if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
    for (const { metadata } of named('Job')) {
      const deletes = `kubectl --context "$SKAFFOLD_KUBE_CONTEXT" -n ${metadata.namespace} delete job ${metadata.name} --ignore-not-found`;
      expect(commands().some((command) => command.endsWith(deletes)), metadata.name).toBe(true);
    }
  });

  test('certificates are made where servers need some, but in production', (context) => {
    if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
    const needed = podsIn(resources).some(({ spec }) => spec.volumes?.some(({ secret }) => secret !== undefined));
    expect(commands().some((command) => command.includes('npm run --silent certificates'))).toBe(needed && overlay !== 'deploy/overlays/production');
  });

  test('a server that starts twice while an image is pulled does not end it', (context) => {
    if (kustomize.command === undefined) return context.skip(`no kustomize: ${kustomize.reason}`);
    const seconds = ({ periodSeconds = 10, failureThreshold = 3 }: Probe): number => periodSeconds * failureThreshold;
    const slowest = Math.max(...podsIn(resources).flatMap(({ spec }) => spec.containers.map(({ startupProbe }) => (startupProbe === undefined ? 0 : seconds(startupProbe)))));
    const server = Math.max(...podsIn(resources).flatMap((pods) => (serverOf(pods) === undefined ? [] : [seconds(serverOf(pods)!.startupProbe!)])));
    expect(deploy.tolerateFailuresUntilDeadline).toBe(true);
    expect(deploy.statusCheckDeadlineSeconds).toBeGreaterThanOrEqual(slowest + server);
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
