import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CHECKS } from '../runner/checks.ts';

/** A folder with the project's own settings, to put violations into. */
let folder: string;

beforeEach(() => {
  const root = path.resolve(import.meta.dirname, '../..');
  folder = mkdtempSync(path.join(tmpdir(), 'txmesh-rules-'));
  for (const file of ['package.json', '.oxlintrc.json', 'tsconfig.json', 'tsconfig.kernel.json', 'buf.yaml', 'proto']) {
    cpSync(path.join(root, file), path.join(folder, file), { recursive: true });
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const put = (file: string, text: string) => {
  mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
  writeFileSync(path.join(folder, file), text);
};

/** What a check of `npm run check` says about the folder; nothing when it is content. */
const complaint = (name: keyof typeof CHECKS) => {
  const [program, ...args] = CHECKS[name];
  const { status, stdout, stderr } = spawnSync(path.join('node_modules/.bin', program), args, { cwd: folder, encoding: 'utf8' });
  return status === 0 ? '' : stdout + stderr;
};

describe('npm run check finds', () => {
  test('a type error', () => {
    put('services/runtime/a.ts', "export const a: number = 'one';");
    expect(complaint('types')).toContain('TS2322');
  });

  test('a promise that nobody waits for', () => {
    put('services/runtime/a.ts', 'export function f(): void {\n  Promise.resolve(1);\n}\n');
    expect(complaint('lint')).toContain('no-floating-promises');
  });

  test.each([
    'Date.now()',
    'new Date()',
    'Math.random()',
    'performance.now()',
    'process.pid',
    'console.log(1)',
    'globalThis.Date',
    'crypto.randomUUID()',
    'setTimeout(() => undefined, 1)',
  ])('%s in a kernel, and only there', (expression) => {
    put('services/runtime/a.ts', `export const a: unknown = ${expression};\n`);
    expect(complaint('lint')).toBe('');
    put('services/kernel/a.ts', `export const a: unknown = ${expression};\n`);
    expect(complaint('lint')).toMatch(/no-restricted-(globals|properties)/);
  });

  test.each(['Buffer.alloc(1)', 'process.env', 'performance', "require('x')"])(
    '%s in a kernel as a type error: kernels have no types of Node',
    (expression) => {
      put('services/kernel/a.ts', `export const a: unknown = ${expression};\n`);
      expect(complaint('types')).not.toContain('TS2580');
      expect(complaint('kernel types')).toMatch(/TS2(304|580|591)/);
    },
  );

  test('a message name that the style of buf refuses', () => {
    put('proto/txmesh/bad/v1/bad.proto', 'syntax = "proto3";\npackage txmesh.bad.v1;\nmessage lower_case {}\n');
    expect(complaint('proto style')).toContain('lower_case');
  });

  test('a field that the released protos had and these have not', () => {
    const file = 'proto/txmesh/common/v1/common.proto';
    const text = readFileSync(path.join(folder, file), 'utf8');
    put(file, text.replace(/^ {2}uint64 counter = 2.*\n/m, ''));
    expect(complaint('proto compatibility')).toContain('"counter"');
  });
});
