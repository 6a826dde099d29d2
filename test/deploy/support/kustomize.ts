/** Renders a folder with kustomize: kubectl's where that is new enough, else a kustomize of its own. */

import { execFile } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments, stringify } from 'yaml';
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

/** Renders a folder with components added to it, as an overlay of one's own would. */
export async function renderWith(command: readonly [string, ...string[]], folder: string, components: readonly string[]): Promise<Resource[]> {
  // By its real name, since the way back from it is relative.
  const overlay = mkdtempSync(join(realpathSync(tmpdir()), 'txmesh-overlay-'));
  const seen = (path: string): string => relative(overlay, path);
  try {
    const own = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', namespace: 'txmesh', resources: [seen(folder)], components: components.map(seen) };
    writeFileSync(join(overlay, 'kustomization.yaml'), stringify(own));
    return await render(command, overlay);
  } finally {
    rmSync(overlay, { recursive: true });
  }
}
