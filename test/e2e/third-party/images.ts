/**
 * Images of others, for a cluster that can't pull them: where nobody answers for a name in its registry,
 * an image with the same programs is built here, from source. It is not what the registry would give: it has
 * no base system, and neither Jaeger nor Prometheus has a web page.
 */

import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { buildGoTool, GO_TOOLS } from '../../../deploy/local/go-tool.ts';
import { canBePulled, docker, shipImage } from '../image.ts';
import { run } from '../kubectl.ts';
import { collectorProgram, ETCDUTL, jaegerProgram, prometheusPrograms } from './programs.ts';

/** Files of the image, each with the program that goes there. The first is the entry point. */
type Recipe = Readonly<Record<string, () => Promise<string>>>;

const RECIPES: Readonly<Record<string, Recipe>> = {
  [`quay.io/coreos/etcd:${GO_TOOLS.etcd.version}`]: {
    '/usr/local/bin/etcd': () => buildGoTool(GO_TOOLS.etcd),
    '/usr/local/bin/etcdctl': () => buildGoTool(GO_TOOLS.etcdctl),
    '/usr/local/bin/etcdutl': () => buildGoTool(ETCDUTL),
  },
  // Jaeger 2 is released from one repository with Jaeger 1, and its module has the number of that.
  'jaegertracing/jaeger:2.13.0': { '/usr/local/bin/jaeger': () => jaegerProgram('v1.76.0') },
  'otel/opentelemetry-collector:0.139.0': { '/otelcol': () => collectorProgram('v0.139.0') },
  'prom/prometheus:v3.7.3': { '/bin/prometheus': async () => (await prometheusPrograms('v3.7.3')).prometheus },
  [`grafana/k6:${GO_TOOLS.k6.version.slice(1)}`]: { '/usr/bin/k6': () => buildGoTool(GO_TOOLS.k6) },
};

/** Every name with the one to use in pods: the same where its registry answers, else that of an image built here. */
export async function provideImages(names: readonly string[], context: string): Promise<Map<string, string>> {
  const provided = new Map<string, string>();
  for (const name of names) provided.set(name, (await canBePulled(name)) ? name : await shipImage(await build(name), context));
  return provided;
}

/** @returns the name, which tells the programs: what is there under it is not built again */
async function build(name: string): Promise<string> {
  const recipe = RECIPES[name];
  if (recipe === undefined) throw new Error(`no registry answers for ${name}, and ${import.meta.filename} does not say how to build it`);
  const programs: (readonly [file: string, program: string])[] = [];
  for (const [file, program] of Object.entries(recipe)) programs.push([file, await program()]);
  const digest = createHash('sha256').update(JSON.stringify(programs)).digest('hex').slice(0, 12);
  const built = `txmesh-e2e/${name}-${digest}`;
  if (await run(docker, ['image', 'inspect', built]).then(() => true, () => false)) return built;
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-image-'));
  try {
    for (const [file, program] of programs) copyFileSync(program, join(folder, basename(file)));
    const copies = programs.map(([file]) => `COPY ${basename(file)} ${file}`);
    writeFileSync(join(folder, 'Dockerfile'), ['FROM scratch', ...copies, `ENTRYPOINT ["${programs[0]![0]}"]`].join('\n'));
    await run(docker, ['build', '--quiet', '--tag', built, folder]);
    return built;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
