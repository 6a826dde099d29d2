import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
/** npm's own hooks are called by npm alone. */
const names = Object.keys(scripts).filter((name) => !name.startsWith('pre'));

/** Every file that some script writes, with the time of its last change. Compiled code is kept by Node itself, whatever runs. */
function state(): readonly string[] {
  const written = ['.cache', '.txmesh', 'deploy/components/grafana/dashboards', 'dist', 'node_modules/.package-lock.json', 'proto', 'services/gen', 'test/fixtures/records'];
  const files = written.flatMap((folder) => globSync(`${folder}{,/**}`, { cwd: root })).filter((file) => file !== '.cache' && !file.startsWith('.cache/compiled'));
  return files.map((file) => `${file} ${statSync(path.join(root, file), { throwIfNoEntry: false })?.mtimeMs}`);
}

describe('every script of package.json', () => {
  test.each(names)('%s --help says how it is called, ends with 0 and does nothing else', (name) => {
    const [, command, ...args] = /^exec node deploy\/local\/bootstrap\.cjs (\S+) ?(.*)$/.exec(scripts[name]!)!;
    const before = state();
    const given = [...args.filter((arg) => arg !== ''), '--help'];
    const { status, stdout, stderr } = spawnSync(process.execPath, ['deploy/local/bootstrap.cjs', command!, ...given], { cwd: root, encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(stdout).toMatch(/npm (run|start|test)|txmesh \[/);
    expect(status).toBe(0);
    expect(state()).toEqual(before);
  });

  test('ends with 2 and says what there is where a flag is unknown', () => {
    for (const name of ['simulate', 'bench', 'certificates', 'dashboards', 'cluster', 'audit', 'e2e:k8s']) {
      const { status, stdout, stderr } = spawnSync(process.execPath, ['deploy/local/bootstrap.cjs', name, '--hlep'], { cwd: root, encoding: 'utf8' });
      expect([name, status, stdout]).toEqual([name, 2, '']);
      expect(stderr).toMatch(/^.*--hlep.*\n\nnpm run /);
    }
  });
});

test.each([
  [['--participants', 'orders'], '--participants leaves out inventory, payments, which the tour uses'],
  [['--queues', 'other'], '--queues leaves out queue, which the tour uses'],
  [['--counters', 'other'], '--counters leaves out counter, which the tour uses'],
  [['--coordinator', 'false'], '--coordinator false leaves the tour without transactions'],
  [['--store', 'memory'], '--store memory loses everything'],
])('npm start -- %j is refused before anything is started: the tour could not be taken', (args, message) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['deploy/local/bootstrap.cjs', 'start', ...args], { cwd: root, encoding: 'utf8' });
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toContain(`txmesh: ${message}`);
  expect(stderr).toContain('npm run txmesh -- ');
});
