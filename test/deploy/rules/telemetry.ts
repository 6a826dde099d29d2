/** Prometheus and the collector reach whom they name, and are reached by who names them. */

import { parse } from 'yaml';
import { bytes } from '../../../services/settings/rules.ts';
import { environmentOf } from '../support/environment.ts';
import { mayConnect } from '../support/network.ts';
import { containersOf, matches, nameOf, podsIn, serverOf, type Pods, type Resource } from '../support/resource.ts';
import type { Rule } from './rule.ts';

interface DnsDiscovery {
  readonly names: readonly string[];
  readonly type: string;
  readonly port?: number;
}
interface ScrapeConfig {
  readonly job_name: string;
  readonly static_configs?: readonly { readonly targets: readonly string[] }[];
  readonly dns_sd_configs?: readonly DnsDiscovery[];
}

/** The port of a Service, as a scrape names it. */
interface Target {
  readonly job: string;
  readonly service: string;
  /** By name (SRV records) or by number. */
  readonly port: string | number;
}

const dataOf = (resources: readonly Resource[], map: string, key: string): string | undefined =>
  resources.find(({ kind, metadata, data }) => kind === 'ConfigMap' && metadata.name.startsWith(map) && data?.[key] !== undefined)?.data![key];

function targetsIn(config: string): Target[] {
  const { scrape_configs } = parse(config) as { scrape_configs: ScrapeConfig[] };
  return scrape_configs.flatMap(({ job_name: job, dns_sd_configs = [], static_configs = [] }) => [
    ...dns_sd_configs.flatMap(({ names, type, port }) =>
      names.map((name) => {
        const [, named, service] = /^_([a-z0-9-]+)\._tcp\.([a-z0-9-]+)$/.exec(name) ?? [];
        return type === 'SRV' ? { job, service: service ?? name, port: named ?? '' } : { job, service: name, port: port ?? 0 };
      }),
    ),
    // A pod by its name in a headless Service; what has no dot is Prometheus itself.
    ...static_configs.flatMap(({ targets }) =>
      targets.flatMap((target) => {
        const [, service, port] = /^[a-z0-9-]+\.([a-z0-9-]+):(\d+)$/.exec(target) ?? [];
        return service === undefined ? [] : [{ job, service, port: Number(port) }];
      }),
    ),
  ]);
}

const behind = (service: Resource, all: readonly Pods[]): Pods[] => all.filter(({ labels }) => matches(service.spec.selector, labels));
const numberOf = (service: Resource, port: string | number): number | undefined =>
  service.spec.ports.find((each: { name: string; port: number }) => each.name === port || each.port === port)?.port;

export const scraped: Rule = {
  name: 'what Prometheus scrapes is there, and policies let it; and it scrapes every server',
  check: (resources) => {
    const config = dataOf(resources, 'prometheus', 'prometheus.yml');
    const all = podsIn(resources);
    const prometheus = all.find(({ owner }) => owner.metadata.name === 'prometheus');
    if (config === undefined || prometheus === undefined) return [];
    const reached = new Set<Resource>();
    const problems = targetsIn(config).flatMap(({ job, service: name, port }) => {
      const where = `Prometheus, ${job}: ${name} ${port}`;
      const service = resources.find(({ kind, metadata }) => kind === 'Service' && metadata.name === name);
      const number = service && numberOf(service, port);
      if (service === undefined || number === undefined) return [`${where} is no port of a Service`];
      const pods = behind(service, all);
      pods.forEach(({ owner }) => reached.add(owner));
      if (typeof port === 'string' && service.spec.clusterIP !== 'None') return [`${where} is one address for all pods`];
      return pods.filter(({ labels }) => !mayConnect(resources, prometheus.labels, labels, number)).map(({ owner }) => `${where}: no policy lets it connect to ${nameOf(owner)}`);
    });
    const missed = all.filter((pods) => serverOf(pods) !== undefined && !reached.has(pods.owner));
    return [...problems, ...missed.map(({ owner }) => `${nameOf(owner)}: Prometheus does not scrape it`)];
  },
};

interface CollectorConfig {
  readonly receivers: Readonly<Record<string, { protocols?: Record<string, { endpoint: string }> }>>;
  readonly processors: Readonly<Record<string, object>>;
  readonly exporters: Readonly<Record<string, { endpoint?: string }>>;
  readonly extensions: Readonly<Record<string, { endpoint?: string }>>;
  readonly service: {
    readonly extensions: readonly string[];
    readonly pipelines: Readonly<Record<string, Readonly<Partial<Record<'receivers' | 'processors' | 'exporters', readonly string[]>>>>>;
  };
}

/** What of the core distribution is in use here, by the part of the configuration that it belongs to. */
const COMPONENTS = {
  receivers: ['otlp'],
  processors: ['memory_limiter', 'batch'],
  exporters: ['otlp', 'prometheus', 'debug'],
  extensions: ['health_check'],
} as const;
const PARTS = ['receivers', 'processors', 'exporters', 'extensions'] as const;

const portOf = (endpoint: string): number => Number(endpoint.split(':').at(-1));

/** Of the files that it is started with: later ones add to maps, and take the place of everything else. */
function collectorConfig({ spec }: Pods, resources: readonly Resource[], problems: string[]): CollectorConfig {
  const { args = [], volumeMounts = [] } = spec.containers[0]!;
  const folder = volumeMounts.find(({ name }) => name === 'config')?.mountPath;
  const merged = {};
  for (const path of args.flatMap((arg) => /^--config=(.+)$/.exec(arg)?.[1] ?? [])) {
    const text = path.startsWith(`${folder}/`) ? dataOf(resources, 'opentelemetry-collector', path.slice(folder!.length + 1)) : undefined;
    if (text === undefined) problems.push(`collector: its configuration ${path} is not there`);
    else merge(merged, parse(text) as object);
  }
  return merged as CollectorConfig;
}

function merge(into: Record<string, any>, from: Record<string, any>): void {
  const isMap = (value: unknown): value is Record<string, any> => typeof value === 'object' && value !== null && !Array.isArray(value);
  for (const [key, value] of Object.entries(from)) {
    if (isMap(into[key]) && isMap(value)) merge(into[key], value);
    else into[key] = value;
  }
}

/** Why the collector can't send to an endpoint: a Service that is deployed with it, or somebody elsewhere, whose name has dots. */
function unreached(endpoint: string, collector: Pods, resources: readonly Resource[], all: readonly Pods[]): string[] {
  const [, host = endpoint] = /^(?:https?:\/\/)?([^:/]+)/.exec(endpoint) ?? [];
  const denied = `collector: no policy lets it send to ${endpoint}`;
  const service = resources.find(({ kind, metadata }) => kind === 'Service' && metadata.name === host);
  if (service !== undefined) return behind(service, all).some(({ labels }) => !mayConnect(resources, collector.labels, labels, portOf(endpoint))) ? [denied] : [];
  if (!host.includes('.')) return [`collector: it sends to ${endpoint}, and there is no Service ${host}`];
  const policies = resources.filter(({ kind, spec }) => kind === 'NetworkPolicy' && Object.keys(spec.podSelector.matchLabels ?? {}).length > 0 && matches(spec.podSelector.matchLabels, collector.labels));
  const rules = policies.flatMap(({ spec }) => (spec.egress ?? []) as { ports?: { port: number }[]; to?: { ipBlock?: object; namespaceSelector?: object }[] }[]);
  const isOut = rules.some(({ ports, to }) => (ports?.some(({ port }) => port === portOf(endpoint)) ?? true) && (to?.some(({ ipBlock, namespaceSelector }) => (ipBlock ?? namespaceSelector) !== undefined) ?? true));
  return policies.length === 0 || isOut ? [] : [denied];
}

export const collected: Rule = {
  name: 'the collector\'s pipelines are made of what it has and nothing else, and servers and collector reach whom they send to',
  check: (resources) => {
    const all = podsIn(resources);
    const collector = all.find(({ owner }) => owner.metadata.name === 'opentelemetry-collector');
    if (collector === undefined) return [];
    const problems: string[] = [];
    const config = collectorConfig(collector, resources, problems);
    const { pipelines } = config.service;
    for (const part of PARTS) {
      const declared = Object.keys(config[part]);
      const used = part === 'extensions' ? config.service.extensions : Object.values(pipelines).flatMap((pipeline) => pipeline[part] ?? []);
      problems.push(
        ...declared.filter((id) => !(COMPONENTS[part] as readonly string[]).includes(id.split('/')[0]!)).map((id) => `collector: ${part} ${id} is none that we know`),
        ...Object.entries(part === 'extensions' ? {} : pipelines).filter(([, pipeline]) => (pipeline[part as 'exporters'] ?? []).length === 0).map(([name]) => `collector: the pipeline ${name} has no ${part}`),
        ...declared.filter((id) => !used.includes(id)).map((id) => `collector: ${part} ${id} is in no pipeline`),
        ...[...new Set(used)].filter((id) => !declared.includes(id)).map((id) => `collector: ${part} ${id} is not declared`),
      );
    }
    // The memory limiter first, the batch last: what is refused is refused before it is held.
    for (const [name, { processors }] of Object.entries(pipelines))
      if (processors?.[0] !== 'memory_limiter' || processors.at(-1) !== 'batch') problems.push(`collector: the pipeline ${name} does not begin with memory_limiter and end with batch`);

    const own = containersOf(collector).flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort));
    const receives = Object.values(config.receivers).flatMap(({ protocols = {} }) => Object.values(protocols).map(({ endpoint }) => endpoint));
    const serves = [...Object.values(config.exporters), ...Object.values(config.extensions)].flatMap(({ endpoint }) => (endpoint?.startsWith('0.0.0.0:') ? [endpoint] : []));
    for (const endpoint of [...receives, ...serves]) if (!own.includes(portOf(endpoint))) problems.push(`collector: it listens on ${endpoint}, which is no port of its container`);

    for (const { endpoint } of Object.values(config.exporters))
      if (endpoint !== undefined && !serves.includes(endpoint)) problems.push(...unreached(endpoint, collector, resources, all));
    for (const pods of all) {
      const server = serverOf(pods);
      const endpoint = server && environmentOf(server, resources)['OTEL_EXPORTER_OTLP_ENDPOINT'];
      if (endpoint === undefined) continue;
      if (!receives.some((each) => portOf(each) === portOf(endpoint))) problems.push(`${nameOf(pods.owner)}: it sends to ${endpoint}, where the collector does not listen`);
      if (!mayConnect(resources, pods.labels, collector.labels, portOf(endpoint))) problems.push(`${nameOf(pods.owner)}: no policy lets it send to ${endpoint}`);
    }
    return problems;
  },
};

/** Of one that is kept, rounded up: 20 spans with 8 attributes each took 33 kB in the version that is deployed. */
const TRACE_BYTES = 50_000;

export const remembered: Rule = {
  name: 'Jaeger, which keeps traces in memory, keeps no more than fit',
  check: (resources) =>
    podsIn(resources).filter(({ owner }) => owner.metadata.name === 'jaeger').flatMap(({ owner, spec }) => {
      const { args = [], env = [] } = spec.containers[0]!;
      const traces = args.flatMap((arg) => /memory\.max_traces=(\d+)$/.exec(arg)?.[1] ?? []).map(Number)[0];
      if (traces === undefined) return [`${nameOf(owner)}: it does not say how many traces it keeps`];
      const limit = env.find(({ name }) => name === 'GOMEMLIMIT')?.value ?? '0MiB';
      return traces * TRACE_BYTES <= bytes().parse(limit) ? [] : [`${nameOf(owner)}: ${traces} traces of ${TRACE_BYTES} bytes are more than GOMEMLIMIT, ${limit}`];
    }),
};
