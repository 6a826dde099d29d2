/** What Prometheus is configured with, held against Prometheus' own tool: the configuration, the rules, and every case of every alert. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import { ALERT_CASES } from '../deploy/alerts/all.ts';
import { promtoolTests } from '../deploy/alerts/promtool.ts';
import { ALERTS, RULE_FILES } from '../deploy/support/prometheus.ts';
import { run } from './kubectl.ts';
import { promtoolProgram } from './third-party/programs.ts';

const COMPONENT = resolve(import.meta.dirname, '../../deploy/components/prometheus');
const IN_THE_POD = '/etc/prometheus/';

/** @returns what was checked, in words. @throws with what promtool says */
export async function checkRules(): Promise<string> {
  const { images } = parse(readFileSync(join(COMPONENT, 'kustomization.yaml'), 'utf8')) as { images: { name: string; newTag: string }[] };
  const promtool = await promtoolProgram(images.find(({ name }) => name === 'prom/prometheus')!.newTag);
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-rules-'));
  const inFolder = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  try {
    const rules = RULE_FILES.map((name) => inFolder(name, readFileSync(join(COMPONENT, name), 'utf8')));
    const config = readFileSync(join(COMPONENT, 'config.yaml'), 'utf8').replaceAll(IN_THE_POD, `${folder}/`);
    await run(promtool, ['check', 'config', '--lint=all', '--lint-fatal', inFolder('prometheus.yml', config)]);
    await run(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', ...rules]);
    await run(promtool, ['test', 'rules', inFolder('cases.yml', stringify(promtoolTests(ALERT_CASES, ALERTS, rules), { aliasDuplicateObjects: false }))]);
    const cases = ALERTS.flatMap(({ alert }) => ALERT_CASES[alert] ?? []);
    const firing = cases.filter(({ fires }) => fires.length > 0).length;
    return `promtool takes configuration and rules; ${ALERTS.length} alerts fire in ${firing} cases, and are quiet in ${cases.length - firing}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
