/** What a failed run leaves behind for those who look for the cause. */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kubectl } from './kubectl.ts';

const LAST_WARNINGS = 20;

/** Writes state, events and logs into a folder, which is emptied before, and shows the pods and the last warnings. */
export async function collectLogs(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // What can't be had says why, in its file.
  const keep = async (name: string, ...args: string[]): Promise<string> => {
    const text = await kubectl(...args).catch(String);
    writeFileSync(join(folder, name), text);
    return text;
  };
  const pods = await keep('pods.txt', 'get', 'pods,jobs', '-o', 'wide');
  const warnings = await keep('warnings.txt', 'get', 'events', '--field-selector=type=Warning', '--sort-by=.lastTimestamp', '-o', 'custom-columns=WHEN:.lastTimestamp,WHO:.involvedObject.name,WHAT:.message');
  await keep('described.txt', 'describe', 'pods');
  const names = await kubectl('get', 'pods', '-o', 'name').catch(() => '');
  for (const pod of names.split('\n').filter(Boolean)) {
    const name = pod.replace('pod/', '');
    await keep(`${name}.log`, 'logs', pod, '--all-containers');
    await keep(`${name}.previous.log`, 'logs', pod, '--all-containers', '--previous');
  }
  console.error(`${pods}\n${warnings.split('\n').slice(-LAST_WARNINGS).join('\n')}\nlogs of all pods: ${folder}`);
}
