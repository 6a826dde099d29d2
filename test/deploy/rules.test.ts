/** Each rule is shown what it must see: an overlay that keeps them all, and one thing changed in it. */

import { resolve } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { RULES } from './rules/all.ts';
import { findKustomize, render, type Kustomize } from './support/kustomize.ts';
import type { Resource } from './support/resource.ts';
import { findSchemaErrors } from './support/schema.ts';

let kustomize: Kustomize;
let healthy: Resource[] = [];
beforeAll(async () => {
  kustomize = await findKustomize();
  if (kustomize.command !== undefined) healthy = await render(kustomize.command, resolve(import.meta.dirname, '../../deploy/overlays/kind'));
}, 600_000);

/** A copy with what `change` does to the resource of a kind and a name. */
function changed(name: string, change: (resource: any) => void): Resource[] {
  const resources = structuredClone(healthy);
  const found = resources.find((resource) => `${resource.kind} ${resource.metadata.name}`.startsWith(name));
  if (found === undefined) throw new Error(`there is no ${name}`);
  change(found);
  return resources;
}

const pod = (resource: any): any => resource.spec.template.spec;
const server = (resource: any): any => pod(resource).containers[0];
const SERVER = 'StatefulSet coordinator';
const COLLECTOR = 'ConfigMap opentelemetry-collector';

const CASES: readonly [what: string, name: string, change: (resource: any) => void, violation: RegExp][] = [
  ['root', SERVER, (r) => delete pod(r).securityContext.runAsNonRoot, /runAsNonRoot/],
  ['a shared profile of system calls', SERVER, (r) => delete pod(r).securityContext.seccompProfile, /seccomp/],
  ['the network of the node', SERVER, (r) => (pod(r).hostNetwork = true), /hostNetwork/],
  ['a folder of the node', SERVER, (r) => pod(r).volumes.push({ name: 'etc', hostPath: { path: '/etc' } }), /folder of the node/],
  ['a root file system to write to', SERVER, (r) => (server(r).securityContext.readOnlyRootFilesystem = false), /may write/],
  ['a capability', SERVER, (r) => (server(r).securityContext.capabilities.add = ['NET_RAW']), /capabilities/],
  ['a namespace that takes anything', 'Namespace txmesh', (r) => delete r.metadata.labels['pod-security.kubernetes.io/enforce'], /restricted standard/],
  ['a token', SERVER, (r) => (pod(r).automountServiceAccountToken = true), /token is mounted/],
  ['variables of Services', SERVER, (r) => delete pod(r).enableServiceLinks, /variables of Services/],
  ['somebody else\'s account', SERVER, (r) => (pod(r).serviceAccountName = 'default'), /no ServiceAccount of its own/],
  ['the latest image', SERVER, (r) => (server(r).image = 'registry:5000/txmesh:latest'), /latest/],
  ['an image without a tag', SERVER, (r) => (server(r).image = 'registry:5000/txmesh'), /no tag/],
  ['pods that no policy knows', SERVER, (r) => (r.spec.template.metadata.labels['app.kubernetes.io/name'] = 'other'), /no NetworkPolicy/],
  ['no default', 'NetworkPolicy default-deny', (r) => (r.spec.ingress = [{}]), /no NetworkPolicy denies/],
  ['a page for nobody outside', 'Service grafana', (r) => (r.spec.type = 'NodePort'), /Service grafana: no NetworkPolicy lets in who comes through its NodePort/],
  ['faults on purpose', 'ConfigMap settings', (r) => (r.data.TXMESH_FAULT_INJECTION = 'true'), /it injects faults/],
  ['faults by a flag', SERVER, (r) => server(r).args.push('--fault-injection', 'true'), /it injects faults/],
  ['no probe', SERVER, (r) => delete server(r).livenessProbe, /no livenessProbe/],
  ['a probe that is not gRPC', SERVER, (r) => (server(r).readinessProbe = { tcpSocket: { port: 50051 } }), /no gRPC service/],
  ['a probe at a port of nobody\'s', SERVER, (r) => (server(r).readinessProbe.grpc.port = 1), /at port 1/],
  ['memory without a limit', SERVER, (r) => delete server(r).resources.limits, /no limit of memory/],
  ['no request', 'CronJob etcd-backup', (r) => delete r.spec.jobTemplate.spec.template.spec.containers[0].resources, /requests no cpu/],
  ['no budget', 'PodDisruptionBudget coordinator', (r) => (r.spec.maxUnavailable = 2), /PodDisruptionBudget/],
  ['no spread', SERVER, (r) => pod(r).topologySpreadConstraints.pop(), /not spread over topology.kubernetes.io\/zone/],
  ['no scaler', 'HorizontalPodAutoscaler queue', (r) => (r.spec.scaleTargetRef.name = 'other'), /no HorizontalPodAutoscaler scales it/],
  ['one replica alone', 'HorizontalPodAutoscaler queue', (r) => (r.spec.minReplicas = 1), /from 1 to 3/],
  ['scaling by something else', 'HorizontalPodAutoscaler queue', (r) => (r.spec.metrics[0].resource.name = 'memory'), /by the CPU/],
  ['half of the replicas going at once', 'HorizontalPodAutoscaler queue', (r) => (r.spec.behavior.scaleDown.policies[0] = { type: 'Percent', value: 50, periodSeconds: 60 }), /more than one may go/],
  ['more replicas than partitions', 'HorizontalPodAutoscaler queue', (r) => (r.spec.maxReplicas = 5), /StatefulSet queue: up to 5 replicas share 4 partitions/],
  ['partitions by default', 'ConfigMap settings', (r) => delete r.data.TXMESH_PARTITIONS, /TXMESH_PARTITIONS is not set/],
  ['a start that is cut short', SERVER, (r) => (server(r).startupProbe.failureThreshold = 60), /started for 60 s, and may wait for etcd for 120 s/],
  ['a longer wait for etcd', 'ConfigMap settings', (r) => (r.data.TXMESH_ETCD_WAIT = '5m'), /may wait for etcd for 300 s/],
  ['a grace that is too short', SERVER, (r) => (pod(r).terminationGracePeriodSeconds = 10), /grace of 10 s/],
  ['a longer drain', 'ConfigMap settings', (r) => (r.data.TXMESH_DRAIN = '1m'), /is less than the 70 s/],
  ['a stop before all have heard', SERVER, (r) => delete server(r).lifecycle, /before everybody/],
  ['a flag that is none', SERVER, (r) => server(r).args.push('--bogus=1'), /--bogus.* is not a setting/],
  ['a variable that is none', 'ConfigMap settings', (r) => (r.data.TXMESH_BOGUS = '1'), /TXMESH_BOGUS is not a setting/],
  ['a value that breaks its rule', 'ConfigMap settings', (r) => (r.data.TXMESH_LEASE = '5'), /TXMESH_LEASE must be/],
  ['a port that nobody listens on', 'ConfigMap settings', (r) => (r.data.TXMESH_PORT = '50053'), /listens on 50053/],
  ['an address for loopback alone', 'ConfigMap settings', (r) => delete r.data.TXMESH_HOST, /127.0.0.1 alone/],
  ['variables in the wrong order', SERVER, (r) => server(r).env.reverse(), /names a variable that comes later/],
  ['a file that is not mounted', SERVER, (r) => server(r).volumeMounts.pop(), /is in no volume/],
  ['a Secret that nobody makes', SERVER, (r) => (pod(r).volumes[0].secret.secretName = 'other'), /Secret other is not there/],
  ['a ConfigMap that is missing', 'ConfigMap etcd-backup', (r) => (r.metadata.name = 'other'), /ConfigMap etcd-backup-\w+ is not there/],
  ['a claim that is missing', 'PersistentVolumeClaim etcd-backups', (r) => (r.metadata.name = 'other'), /claim etcd-backups is not there/],
  ['a Service for nobody', 'Service coordinator', (r) => (r.spec.selector['app.kubernetes.io/component'] = 'other'), /no pod is meant/],
  ['a Service for another port', 'Service coordinator', (r) => (r.spec.ports[0].targetPort = 'http'), /has no port http/],
  ['a Service that maps ports', 'Service coordinator', (r) => (r.spec.ports[0].port = 443), /port 443 leads to 50051/],
  ['a scaler of nothing', 'HorizontalPodAutoscaler coordinator', (r) => (r.spec.scaleTargetRef.name = 'other'), /no StatefulSet other/],
  ['a set without its Service', 'Service coordinator-headless', (r) => (r.metadata.name = 'other'), /no Service coordinator-headless/],
  ['a scrape of no port', 'Service queue-headless', (r) => r.spec.ports.pop(), /queue-headless metrics is no port of a Service/],
  ['a scrape that no policy allows', 'NetworkPolicy servers', (r) => r.spec.ingress.pop(), /no policy lets it connect to StatefulSet coordinator/],
  ['a scrape that may not leave', 'NetworkPolicy prometheus', (r) => r.spec.egress.shift(), /no policy lets it connect to StatefulSet coordinator/],
  ['a member of etcd that may not be scraped', 'NetworkPolicy etcd', (r) => r.spec.ingress.pop(), /etcd-headless 2381: no policy lets it connect to StatefulSet etcd/],
  ['a server that is not scraped', 'ConfigMap prometheus', (r) => (r.data['prometheus.yml'] = r.data['prometheus.yml'].replace('- _metrics._tcp.queue-headless', '')), /StatefulSet queue: Prometheus does not scrape it/],
  ['a pipeline of what is not there', COLLECTOR, (r) => (r.data['config.yaml'] = r.data['config.yaml'].replace('exporters: [debug]', 'exporters: [loki]')), /exporters loki is not declared/],
  ['an exporter for nobody', COLLECTOR, (r) => (r.data['config.yaml'] = r.data['config.yaml'].replace('exporters: [debug]', 'exporters: [prometheus]')), /exporters debug is in no pipeline/],
  ['a component that the image lacks', COLLECTOR, (r) => (r.data['config.yaml'] = r.data['config.yaml'].replace('  batch:', '  tail_sampling: {}\n  batch:')), /tail_sampling is none that we know/],
  ['a collector without a limit', COLLECTOR, (r) => (r.data['config.yaml'] = r.data['config.yaml'].replace('processors: [memory_limiter, batch]', 'processors: [batch]')), /does not begin with memory_limiter/],
  ['a collector that listens elsewhere', COLLECTOR, (r) => (r.data['config.yaml'] = r.data['config.yaml'].replace('0.0.0.0:4318', '0.0.0.0:4319')), /sends to http:\/\/opentelemetry-collector:4318, where the collector does not listen/],
  ['a pipeline that leads nowhere', COLLECTOR, (r) => (r.data['config.yaml'] = r.data['config.yaml'].replace('    traces:\n', '    traces/other:\n')), /the pipeline traces\/other has no exporters/],
  ['a configuration that is not there', COLLECTOR, (r) => delete r.data['traces.yaml'], /its configuration \/etc\/otelcol\/traces.yaml is not there/],
  ['traces for nobody', COLLECTOR, (r) => (r.data['traces.yaml'] = r.data['traces.yaml'].replace('jaeger:', 'tempo:')), /sends to tempo:4317, and there is no Service tempo/],
  ['traces for somebody elsewhere that may not leave', COLLECTOR, (r) => (r.data['traces.yaml'] = r.data['traces.yaml'].replace('jaeger:4317', 'tempo.tracing.svc:4317')), /no policy lets it send to tempo.tracing.svc:4317/],
  ['traces that may not leave', 'NetworkPolicy opentelemetry-collector', (r) => delete r.spec.egress, /no policy lets it send to jaeger:4317/],
  ['traces without a bound', 'Deployment jaeger', (r) => delete server(r).args, /does not say how many traces it keeps/],
  ['more traces than there is memory for', 'Deployment jaeger', (r) => (server(r).args[0] = server(r).args[0].replace(/\d+$/, '100000')), /100000 traces .* are more than GOMEMLIMIT/],
  ['another quota', 'StatefulSet etcd', (r) => (server(r).args = server(r).args.map((arg: string) => arg.replace('4294967296', '1'))), /quota is 1 bytes/],
];

test.each(CASES)('the rules see %s', (_what, name, change, violation) => {
  if (kustomize.command === undefined) throw new Error(kustomize.reason);
  expect(RULES.flatMap((rule) => rule.check(changed(name, change))).join('\n')).toMatch(violation);
});

test('every rule sees something', () => {
  const sees = (rule: (typeof RULES)[number]): boolean => CASES.some(([, name, change]) => rule.check(changed(name, change)).length > 0);
  expect(RULES.filter((rule) => !sees(rule)).map(({ name }) => name)).toEqual([]);
});

test.each<[string, string, (resource: any) => void]>([
  ['a field that does not exist', SERVER, (r) => (pod(r).terminationGracePeriod = 1)],
  ['a field of another type', SERVER, (r) => (pod(r).terminationGracePeriodSeconds = '25 s')],
  ['a field that is missing', 'StatefulSet etcd', (r) => delete r.spec.selector],
  ['an unknown kind', SERVER, (r) => (r.kind = 'Statefulset')],
  ['a version that is gone', 'PodDisruptionBudget coordinator', (r) => (r.apiVersion = 'policy/v1beta1')],
])('the schema sees %s', (_what, name, change) => {
  expect(changed(name, change).flatMap(findSchemaErrors)).toHaveLength(1);
});
