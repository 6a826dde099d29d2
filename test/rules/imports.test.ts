import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { findViolations, readTree } from './imports.ts';

const root = path.resolve(import.meta.dirname, '../..');

/** The violations in a tree that consists of these files. */
const violations = (files: Record<string, string>) => findViolations(new Map(Object.entries(files)), ['declared']);

test('the project keeps its own rules about imports', () => {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const folders = ['services', 'test', 'load', 'deploy', 'docs'].filter((folder) => existsSync(path.join(root, folder)));
  const files = readTree(root, folders);
  expect(files.size).toBeGreaterThan(10);
  expect(findViolations(files, Object.keys(manifest.dependencies))).toEqual([]);
});

describe('the checker sees', () => {
  test.each([
    ["import { x } from '../runtime/x.ts';"],
    ["import type { X } from '../runtime/x.ts';"],
    ["import {\n  x,\n} from '../runtime/x.ts';"],
    ["export * from '../runtime/x.ts';"],
    ["export { x } from '../runtime/x.ts';"],
    ["const x = await import('../runtime/x.ts');"],
    ["let x: import('../runtime/x.ts').X;"],
    ["import '../runtime/x.ts';"],
  ])('a kernel that reaches outside by %j', (source) => {
    expect(violations({ 'services/kernel/a.ts': source, 'services/runtime/x.ts': 'export const x = 1; export type X = 1;' })).toEqual([
      'services/kernel/a.ts imports services/runtime/x.ts: a kernel imports only kernel',
    ]);
  });

  test('a kernel that imports a module of Node or a package', () => {
    expect(violations({ 'services/kernel/a.ts': "import fs from 'node:fs'; import d from 'declared';" })).toEqual([
      'services/kernel/a.ts imports node:fs: a kernel imports only kernel',
      'services/kernel/a.ts imports declared: a kernel imports only kernel',
    ]);
  });

  test.each(['coordinator', 'participant', 'queue', 'counter'])('a service that imports %s', (other) => {
    const self = other === 'counter' ? 'queue' : 'counter';
    expect(violations({ [`services/${self}/main.ts`]: `import '../${other}/main.ts';`, [`services/${other}/main.ts`]: '' })).toEqual([
      `services/${self}/main.ts imports services/${other}/main.ts: a service never imports another service`,
    ]);
  });

  test.each(['services/coordinator/main.ts', 'services/client/index.ts', 'services/main.ts'])('runtime that imports %s', (target) => {
    const specifier = path.posix.relative('services/runtime', target);
    expect(violations({ 'services/runtime/a.ts': `import '${specifier}';`, [target]: '' })).toEqual([
      `services/runtime/a.ts imports ${target}: runtime imports no service and no client`,
    ]);
  });

  test('runtime that imports the client by the name of the package', () => {
    expect(violations({ 'services/runtime/a.ts': "import 'txmesh/client';", 'services/client/index.ts': '' })).toEqual([
      'services/runtime/a.ts imports services/client/index.ts: runtime imports no service and no client',
    ]);
  });

  test('generated code imported by a file that is neither codec nor handler', () => {
    const importing = "import type { M } from '../gen/m.ts';";
    expect(
      violations({
        'services/gen/m.ts': 'export type M = 1;',
        'services/coordinator/codec.ts': importing,
        'services/coordinator/execute-handlers.ts': importing,
        'services/coordinator/handlers/execute.ts': "import type { M } from '../../gen/m.ts';",
        'services/coordinator/main.test.ts': importing,
        'services/coordinator/main.ts': importing,
      }),
    ).toEqual(['services/coordinator/main.ts imports services/gen/m.ts: only codecs and handlers import generated code']);
  });

  test('a cycle, however long, also of types alone', () => {
    expect(
      violations({
        'services/kernel/a.ts': "import type { B } from './b.ts'; export type A = B;",
        'services/kernel/b.ts': "import type { C } from './c.ts'; export type B = C;",
        'services/kernel/c.ts': "import type { A } from './a.ts'; export type C = A;",
        'services/kernel/d.ts': "import './a.ts';",
      }),
    ).toEqual(['services/kernel/a.ts, services/kernel/b.ts, services/kernel/c.ts: no import cycles']);
  });

  test('shipped code that needs a package or a file that is not shipped', () => {
    const rule = 'what is shipped imports only what is shipped and declared in dependencies';
    expect(
      violations({
        'services/client/a.ts': "import 'declared/part'; import 'undeclared'; import './testing/t.ts';",
        'services/client/testing/t.ts': "import 'undeclared';",
      }),
    ).toEqual([
      `services/client/a.ts imports services/client/testing/t.ts: ${rule}`,
      `services/client/a.ts imports undeclared: ${rule}`,
    ]);
  });

  test('a file that it cannot understand', () => {
    expect(violations({ 'services/kernel/a.ts': 'import {' })[0]).toMatch(/can't be parsed/);
    expect(violations({ 'services/kernel/a.ts': "import './b.ts';" })).toEqual([
      'services/kernel/a.ts: imports services/kernel/b.ts, which is not there',
    ]);
    expect(violations({ 'services/client/a.ts': 'await import(name);' })[0]).toMatch(/made at run time/);
  });
});
