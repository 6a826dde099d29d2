/** `.ci/run`: on which Kubernetes it dares to run the end-to-end test. Its programs are stand-ins that tell what they are asked. */

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { devDependencies: { node: string } };

interface Given {
  /** kubectl's current one. */
  readonly context?: string;
  readonly answers?: boolean;
  /** Programs of K8S_SCRIPTS, and what each does. */
  readonly scripts?: Readonly<Record<string, string>>;
  readonly variables?: Readonly<Record<string, string>>;
}

function guard({ context, answers = true, scripts = {}, variables = {} }: Given): { code: number | null; said: string; done: string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-guard-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const log = join(folder, 'log');
  const program = (place: string, name: string, text: string): void => {
    mkdirSync(join(folder, place), { recursive: true });
    writeFileSync(join(folder, place, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(folder, place, name), 0o755);
  };
  program('bin', 'npm', `echo "npm $*" on "\${CLUSTER:-it}" >> ${log}`);
  program('bin', 'kubectl', `case "$1" in config) ${context === undefined ? 'exit 1' : `echo ${context}`} ;; *) exit ${answers ? 0 : 1} ;; esac`);
  for (const [name, text] of Object.entries(scripts)) program('scripts', name, `echo ${name} $NODE_VERSION >> ${log}\n${text}`);
  const { status, stdout, stderr } = spawnSync(join(root, '.ci/run'), {
    encoding: 'utf8',
    env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}`, HOME: folder, K8S_SCRIPTS: join(folder, 'scripts'), ...variables },
  });
  const done = existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter((line) => !/^(npm (--version|test|run --silent audit)( |$)|$)/.test(line)) : [];
  return { code: status, said: stdout + stderr, done };
}

const SCRIPTS = { up: 'echo export CLUSTER=its-own', down: 'true', images: 'true' };
const ON_ITS_OWN = ['up', `images ${devDependencies.node}`, 'npm run e2e:k8s on its-own', 'down'];

test.each(['kind-kind', 'kind-ci', 'minikube', 'local'])('a cluster called %s is for tests', (context) => {
  expect(guard({ context, scripts: SCRIPTS })).toMatchObject({ code: 0, done: ['npm run e2e:k8s on it'] });
});

test.each(['production', 'gke_company_europe_kind', 'arn:aws:eks:eu-west-1:1:cluster/minikube', 'my-kind-cluster'])('a cluster called %s is left alone', (context) => {
  const { code, said, done } = guard({ context });
  expect({ code, done }).toEqual({ code: 0, done: [] });
  expect(said).toContain('THE END-TO-END TEST WAS NOT RUN');
  expect(said).toContain(`E2E_CONTEXT=${context} SAYS THAT IT IS FOR TESTS`);
  expect(guard({ context, scripts: SCRIPTS }).done).toEqual(ON_ITS_OWN);
  expect(guard({ context, variables: { E2E_CONTEXT: 'another' } }).done).toEqual([]);
});

test('a cluster is for tests that E2E_CONTEXT names', () => {
  expect(guard({ context: 'staging', variables: { E2E_CONTEXT: 'staging' } }).done).toEqual(['npm run e2e:k8s on it']);
});

test('where kubectl reaches none, it starts one and stops it, whatever comes of the test', () => {
  expect(guard({ scripts: SCRIPTS }).done).toEqual(ON_ITS_OWN);
  expect(guard({ context: 'kind-kind', answers: false, scripts: SCRIPTS }).done).toEqual(ON_ITS_OWN);
  const failing = guard({ scripts: { ...SCRIPTS, images: 'exit 1' } });
  expect(failing.done).toEqual(['up', `images ${devDependencies.node}`, 'images', 'down']);
  expect(failing.code).not.toBe(0);
});

test('where there is none at all, it says so', () => {
  const { code, said, done } = guard({});
  expect({ code, done }).toEqual({ code: 0, done: [] });
  expect(said).toContain('!!! NO KUBERNETES IS THERE');
  expect(said).not.toContain('E2E_CONTEXT=');
});
