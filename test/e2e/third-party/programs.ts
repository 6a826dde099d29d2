/**
 * Programs in the images of others that the manifests name which are more than one package of a module,
 * or are used in images alone. In the version of the image; without libraries, so each runs in an image that holds nothing else.
 */

import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { buildOnce, buildPackage, GO_TOOLS, goOptions, serves, SMALL } from '../../../deploy/local/go-tool.ts';

const run = promisify(execFile);

export const ETCDUTL = { name: 'etcdutl', package: 'go.etcd.io/etcd/etcdutl/v3', version: GO_TOOLS.etcd.version };

/** Its web page is not in the module: what is built has the API alone. */
export function jaegerProgram(moduleVersion: string): Promise<string> {
  return buildOnce(`jaeger-${moduleVersion}-static`, async (workshop) => {
    const source = await copyOfModule('github.com/jaegertracing/jaeger', moduleVersion, workshop);
    const built = join(workshop, 'built');
    await run('go', ['build', ...SMALL, '-o', built, './cmd/jaeger'], goOptions(source));
    return built;
  });
}

/** What is built is all that our configuration finds targets by: the libraries of every cloud would take most of the time. */
const PROMETHEUS_PLUGINS = ['dns'];

/**
 * Prometheus and promtool, without its web page, which is not in the module either.
 * @param release as its image is tagged, v3.7.3: its module is v0.307.3
 */
export async function prometheusPrograms(release: string): Promise<{ readonly prometheus: string; readonly promtool: string }> {
  const [, minor, patch] = /^v3\.(\d+)\.(\d+)$/.exec(release) ?? [];
  if (minor === undefined) throw new Error(`${release} is no version of Prometheus 3: say in ${import.meta.filename} which version its module has`);
  const moduleVersion = `v0.3${minor.padStart(2, '0')}.${patch}`;
  const folder = await buildOnce(`prometheus-${moduleVersion}-${PROMETHEUS_PLUGINS.join('-')}-static`, async (workshop) => {
    const module = 'github.com/prometheus/prometheus';
    const source = await copyOfModule(module, moduleVersion, workshop);
    const plugins = PROMETHEUS_PLUGINS.map((name) => `import _ "${module}/discovery/${name}"`);
    await writeFile(join(source, 'plugins/plugins.go'), ['package plugins', ...plugins, ''].join('\n'));
    const built = join(workshop, 'built');
    await mkdir(built);
    await run('go', ['build', ...SMALL, '-o', `${built}/`, './cmd/prometheus', './cmd/promtool'], goOptions(source));
    return built;
  });
  return { prometheus: join(folder, 'prometheus'), promtool: join(folder, 'promtool') };
}

/** On PATH, or built. */
export async function promtoolProgram(release: string): Promise<string> {
  if (await serves({ minimum: release.slice(1), versionArguments: ['--version'] }, 'promtool')) return 'promtool';
  return (await prometheusPrograms(release)).promtool;
}

/** To build inside a module, so that its own go.sum serves. @returns its folder in the workshop */
async function copyOfModule(module: string, version: string, workshop: string): Promise<string> {
  const { stdout } = await run('go', ['mod', 'download', '-json', `${module}@${version}`], goOptions(workshop));
  const source = join(workshop, 'source');
  await cp((JSON.parse(stdout) as { Dir: string }).Dir, source, { recursive: true });
  await run('chmod', ['-R', 'u+w', source]);
  return source;
}

const CORE = 'go.opentelemetry.io/collector';
const CONTRIB = 'github.com/open-telemetry/opentelemetry-collector-contrib';
/** Where the components are that our configuration may name; all are in the image `otel/opentelemetry-collector`, too. */
const COMPONENTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  receivers: { otlp: `${CORE}/receiver/otlpreceiver`, prometheus: `${CONTRIB}/receiver/prometheusreceiver` },
  processors: { batch: `${CORE}/processor/batchprocessor`, memory_limiter: `${CORE}/processor/memorylimiterprocessor` },
  exporters: {
    debug: `${CORE}/exporter/debugexporter`,
    otlp: `${CORE}/exporter/otlpexporter`,
    otlphttp: `${CORE}/exporter/otlphttpexporter`,
    prometheus: `${CONTRIB}/exporter/prometheusexporter`,
  },
  extensions: { health_check: `${CONTRIB}/extension/healthcheckextension` },
};
const CONFIGURATION = resolve(import.meta.dirname, '../../../deploy/components/opentelemetry-collector');

/** With the components that our configuration names, by the collector's own builder. */
export async function collectorProgram(version: string): Promise<string> {
  const files = await Promise.all(['config.yaml', 'traces.yaml'].map((name) => readFile(resolve(CONFIGURATION, name), 'utf8')));
  const configurations = files.map((file) => parse(file) as Record<string, object>);
  const modules = Object.entries(COMPONENTS).map(([kind, known]) => {
    // otlp/traces is a component otlp, of the name traces.
    const ids = configurations.flatMap((configuration) => Object.keys(configuration[kind] ?? {}));
    const types = [...new Set(ids.map((id) => id.split('/')[0]!))].sort();
    const unknown = types.find((type) => known[type] === undefined);
    if (unknown !== undefined) throw new Error(`${CONFIGURATION} names ${kind} ${unknown}: say in ${import.meta.filename} where that is`);
    return [kind, types.map((type) => ({ gomod: `${known[type]} ${version}` }))] as const;
  });
  const shape = modules.flatMap(([, list]) => list.map(({ gomod }) => /(\w+) v/.exec(gomod)![1]!)).join('-');
  return buildOnce(`otelcol-${version}-${shape}-static`, async (workshop) => {
    const builder = await buildPackage({ package: `${CORE}/cmd/builder`, version }, workshop);
    const output = join(workshop, 'collector');
    const manifest = { dist: { name: 'otelcol', version: version.slice(1), output_path: output }, ...Object.fromEntries(modules) };
    await writeFile(join(workshop, 'manifest.yaml'), stringify(manifest));
    await run(builder, ['--config', join(workshop, 'manifest.yaml')], goOptions(workshop));
    return join(output, 'otelcol');
  });
}
