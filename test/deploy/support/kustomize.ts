/** Renders a folder with kustomize: kubectl's where that is new enough, else a kustomize of its own. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { findGoTool, GO_TOOLS, isAtLeast } from '../../../deploy/local/go-tool.ts';
import type { Resource } from './resource.ts';

const run = promisify(execFile);
const MAX_BYTES = 64 * 1024 * 1024;

/** The command to put before a folder, or why there is none. */
export type Kustomize = { readonly command: readonly [string, ...string[]] } | { readonly command: undefined; readonly reason: string };

export async function findKustomize(): Promise<Kustomize> {
  if (await kubectlServes()) return { command: ['kubectl', 'kustomize'] };
  const tool = await findGoTool(GO_TOOLS.kustomize);
  return tool.path === undefined ? { command: undefined, reason: tool.reason } : { command: [tool.path, 'build'] };
}

async function kubectlServes(): Promise<boolean> {
  try {
    const { stdout } = await run('kubectl', ['version', '--client', '--output', 'json']);
    const { kustomizeVersion } = JSON.parse(stdout) as { kustomizeVersion?: string };
    return kustomizeVersion !== undefined && isAtLeast(kustomizeVersion, GO_TOOLS.kustomize.minimum);
  } catch {
    return false;
  }
}

/** @throws with kustomize's own words where the folder can't be rendered. */
export async function render([program, ...args]: readonly [string, ...string[]], folder: string): Promise<Resource[]> {
  const { stdout } = await run(program, [...args, folder], { maxBuffer: MAX_BYTES });
  return parseAllDocuments(stdout).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    return document.toJS() as Resource;
  });
}
