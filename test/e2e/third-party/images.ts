/**
 * Images of others, for a cluster that can't pull them: where nobody answers for a name in its registry,
 * an image with the same programs is built here, from source. It is not what the registry would give: it has
 * no base system, and Jaeger has no web page.
 */

import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { docker, shipImage } from '../image.ts';
import { run } from '../kubectl.ts';
import { collectorProgram, etcdProgram, goProgram, jaegerProgram } from './programs.ts';

interface Recipe {
  /** Files of the image, each with the program that goes there. The first is the entry point. */
  readonly files: Readonly<Record<string, () => Promise<string>>>;
}

const RECIPES: Readonly<Record<string, Recipe>> = {
  'quay.io/coreos/etcd:v3.6.5': {
    files: {
      '/usr/local/bin/etcd': () => etcdProgram('etcd', 'v3.6.5'),
      '/usr/local/bin/etcdctl': () => etcdProgram('etcdctl', 'v3.6.5'),
      '/usr/local/bin/etcdutl': () => etcdProgram('etcdutl', 'v3.6.5'),
    },
  },
  // Jaeger 2 is released from one repository with Jaeger 1, and its module has the number of that.
  'jaegertracing/jaeger:2.13.0': { files: { '/usr/local/bin/jaeger': () => jaegerProgram('v1.76.0') } },
  'otel/opentelemetry-collector:0.139.0': { files: { '/otelcol': () => collectorProgram('v0.139.0') } },
  'grafana/k6:1.8.1': { files: { '/usr/bin/k6': () => goProgram('k6', 'go.k6.io/k6', 'v1.8.1') } },
};

const ASKING_BOUND_MS = 30_000;

/** Every name with the one to use in pods: the same where its registry answers, else that of an image built here. */
export async function provideImages(names: readonly string[], context: string): Promise<Map<string, string>> {
  const provided = new Map<string, string>();
  for (const name of names) provided.set(name, (await canBePulled(name)) ? name : await shipImage(await build(name), context));
  return provided;
}

async function canBePulled(name: string): Promise<boolean> {
  return run(docker, ['manifest', 'inspect', name], { boundMs: ASKING_BOUND_MS }).then(() => true, () => false);
}

async function build(name: string): Promise<string> {
  const recipe = RECIPES[name];
  if (recipe === undefined) throw new Error(`no registry answers for ${name}, and ${import.meta.filename} does not say how to build it`);
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-image-'));
  try {
    const lines = ['FROM scratch'];
    for (const [file, program] of Object.entries(recipe.files)) {
      copyFileSync(await program(), join(folder, basename(file)));
      lines.push(`COPY ${basename(file)} ${file}`);
    }
    lines.push(`ENTRYPOINT ["${Object.keys(recipe.files)[0]!}"]`);
    writeFileSync(join(folder, 'Dockerfile'), lines.join('\n'));
    const built = `txmesh-e2e/${name}`;
    await run(docker, ['build', '--quiet', '--tag', built, folder]);
    return built;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
