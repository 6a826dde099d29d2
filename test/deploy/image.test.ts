import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chooseBase, pinnedBase } from '../e2e/base-image.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const dockerfile = read('deploy/image/Dockerfile');
/** The lines from a FROM up to the next one, by the stage's name. */
const stages = new Map(dockerfile.split(/^(?=FROM )/m).slice(1).map((text) => [/ AS (\S+)$/m.exec(text)![1]!, text]));
const runtime = stages.get('runtime')!;

test('the last stage is the one to run, so that it is the default', () => {
  expect([...stages.keys()].at(-1)).toBe('runtime');
});

test('every stage starts from the base of the Node that the tests run with, to its last number, or from another stage', () => {
  const { devDependencies } = JSON.parse(read('package.json')) as { devDependencies: { node: string } };
  expect(devDependencies.node).toMatch(/^\d+\.\d+\.\d+$/);
  expect(pinnedBase(dockerfile)).toBe(`node:${devDependencies.node}-bookworm-slim`);
  for (const [, from] of dockerfile.matchAll(/^FROM (\S+)/gm)) expect(['${NODE_IMAGE}', ...stages.keys()]).toContain(from);
});

describe('the end-to-end test builds on', () => {
  const docker = (here: readonly string[], pulled: readonly string[]) => ({ isHere: async (name: string) => here.includes(name), canBePulled: async (name: string) => pulled.includes(name) });
  const text = '# a comment\nARG NODE_IMAGE=node:26.1.2-slim\nFROM ${NODE_IMAGE}';

  test.each([
    ['the pinned base, where it is here', ['node:26.1.2-slim', 'node:26-slim'], [], 'node:26.1.2-slim'],
    ['the pinned base, where a registry has it', ['node:26-slim'], ['node:26.1.2-slim'], 'node:26.1.2-slim'],
    ['another release of the same Node, where nobody has that one', ['node:26-slim'], [], 'node:26-slim'],
  ])('%s', async (_what, here, pulled, expected) => {
    expect(await chooseBase(text, docker(here, pulled))).toBe(expected);
  });

  test('nothing, where there is none', async () => {
    await expect(chooseBase(text, docker(['node:25-slim'], ['node:26-slim']))).rejects.toThrow(/^node:26\.1\.2-slim, .* nor is node:26-slim here$/);
    await expect(chooseBase('FROM node', docker([], []))).rejects.toThrow(/no line ARG NODE_IMAGE/);
  });
});

test('the image runs without a shell, as a user who is nobody special, with production dependencies alone', () => {
  expect(runtime).toMatch(/^ENTRYPOINT \["\/usr\/local\/bin\/node", "\/app\/dist\/main.js"\]$/m);
  expect(runtime).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
  expect(runtime).not.toMatch(/^(RUN|ADD) /m);
  expect(runtime).toContain('COPY --from=production-dependencies /app/node_modules');
  expect(stages.get('production-dependencies')).toContain('npm ci --omit=dev');
});

test('labels tell licence, version, revision and time', () => {
  const { license } = JSON.parse(read('package.json')) as { license: string };
  expect(runtime).toContain(`org.opencontainers.image.licenses="${license}"`);
  for (const label of ['version', 'revision', 'created', 'base.name']) expect(runtime).toContain(`org.opencontainers.image.${label}=`);
});

test('only what is named gets into the build', () => {
  const lines = read('.dockerignore').split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  expect(lines[0]).toBe('*');
  expect(lines).not.toContain('!test');
  expect(lines).not.toContain('!.git');
});
