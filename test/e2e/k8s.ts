/**
 * `npm run e2e:k8s`: the image, the manifests and the mesh on a real Kubernetes, the one that kubectl
 * reaches. Has promtool try the rules of Prometheus, builds the image, deploys etcd (3), coordinator (2),
 * participant (2), queue (2), counter (2), the collector, Jaeger and Prometheus with TLS and network policies, runs
 * the README's grpcurl commands through a port-forward, finds a transaction's whole trace in Jaeger, runs etcd's
 * maintenance and the load of k6 once, asks Prometheus every query of every dashboard, and then, while money,
 * messages and counters are worked on, deletes leaders one by one and does the rest of blows.ts. Then everything
 * must add up; a backup is taken and put back as docs/backup.md says; and at the end no critical alert may fire.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { issue } from '../../deploy/certificates/issue.ts';
import { neededCertificates, SERVICES } from '../../deploy/certificates/needed.ts';
import { readFlags } from '../../deploy/local/flags.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { version } from '../../services/version.ts';
import { until } from '../integration/support/until.ts';
import { blows } from './blows.ts';
import { collectLogs } from './collect.ts';
import { Grpcurl, inDoubt, leadersOf } from './grpcurl.ts';
import { buildImage, removeImages, shipImage, sizeMb } from './image.ts';
import { runLoad, runNow } from './jobs.ts';
import { apply, forwardPort, kubectl, NAMESPACE, run } from './kubectl.ts';
import { observeEnd, observeLoad, servesNobody } from './observe.ts';
import { Prometheus } from './prometheus.ts';
import { runReadme } from './readme.ts';
import { restoreBackup } from './restore.ts';
import { checkRules } from './rules.ts';
import { trySkaffold } from './skaffold.ts';
import { DEV_NAMESPACE, trySmall } from './small.ts';
import { Steps } from './steps.ts';
import { provideImages } from './third-party/images.ts';
import { findWholeTrace } from './trace.ts';
import { WorkPod, type Report } from './work-pod.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** Between two faults, so that each one's gap is its own. */
const CALM_MS = 5_000;
const SETTLE_BOUND_MS = 60_000;
/** What docs/deploy.md tells, and some room: more is a mistake, such as dependencies of development. */
const LARGEST_IMAGE_MB = 350;
/** A lease and an election take some seconds; on two cores that do everything else besides, it may be several times that. */
const LONGEST_GAP_MS = 30_000;

const USAGE = `
npm run e2e:k8s -- [--keep]: the image, the manifests and the mesh, with load and faults, on the Kubernetes that kubectl
reaches, in the namespace ${NAMESPACE}

  --keep   leaves everything running at the end

Environment:
  E2E_REGISTRY   where images are pushed unless the cluster is kind or minikube; default localhost:5000
  DOCKER         the docker to build with
  E2E_K8S        1 makes a missing cluster a failure

It needs grpcurl on PATH, or Go to build it. Images of others that no registry has are built through the Go
module proxy (test/e2e/third-party).
`;

const options = readFlags(USAGE, { keep: { type: 'boolean', default: false } });
const steps = new Steps();

interface Images {
  /** In a manifest, puts the names of the images that this cluster has in place of those of deploy/. */
  named(manifest: string): string;
  readonly txmesh: string;
  readonly next: string;
}

async function main(): Promise<void> {
  const context = await reachableContext();
  if (context === undefined) return;
  const tools = await requireGoTools('grpcurl');
  if (tools === undefined) throw new Error('grpcurl is needed: put it, or go to build it, on PATH');
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-e2e-'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => leave(signal));
  /** Names of the images that this run made. */
  const made: string[] = [];
  try {
    steps.say(await steps.run('rules of Prometheus', checkRules));
    const images = await provideAll(context, made);
    steps.say(await steps.run('skaffold', () => trySkaffold(context)));
    await steps.run('overlay dev under load', async () => steps.say(await trySmall(images.named)));
    const sinceMs = Date.now();
    await steps.run('deployment until all is ready', () => deploy(images, folder));
    const grpcurl = new Grpcurl(folder, tools.grpcurl);
    await steps.run('commands of README.md', () => tryReadme(grpcurl));
    await steps.run('trace in Jaeger', async () => steps.say(`Jaeger has the whole trace of a transaction: ${await findWholeTrace(grpcurl)}`));
    await steps.run('maintenance of etcd', maintain);
    const loadError = await steps.run('load by k6', () => load(images));
    await steps.run('dashboards after the load', () => observe((prometheus) => observeLoad(prometheus, sinceMs)));
    const report = await steps.run('work while things break', () => breakThings(images, grpcurl));
    await conclude(report, grpcurl);
    await steps.run('restore of a backup', () => observe((prometheus) => restoreBackup(grpcurl, images.named, () => servesNobody(prometheus))));
    await steps.run('alerts and dashboards at the end', () => observe((prometheus) => observeEnd(prometheus, sinceMs)));
    if (loadError !== undefined) throw loadError;
  } catch (error) {
    steps.say(`FAILED: ${String(error)}`);
    await collectLogs(join(ROOT, '.cache/e2e'));
    throw error;
  } finally {
    rmSync(folder, { recursive: true });
    if (!options.keep) await steps.run('removal', () => remove(made));
    console.log(steps.summary());
  }
}

/** Undefined, told loudly, where there is no cluster. */
async function reachableContext(): Promise<string | undefined> {
  try {
    await run('kubectl', ['get', '--raw', '/readyz'], { boundMs: 20_000 });
    return (await run('kubectl', ['config', 'current-context'])).trim();
  } catch (error) {
    const reason = `no Kubernetes is in reach (kubectl, KUBECONFIG): ${(error as Error).message.trim()}`;
    if (process.env['E2E_K8S'] === '1') throw new Error(reason, { cause: error });
    console.error(`\n!!! NOTHING WAS TESTED ON KUBERNETES, NOR BY PROMETHEUS' OWN TOOL: ${reason}\n`);
    return undefined;
  }
}

async function remove(images: readonly string[]): Promise<void> {
  await run('kubectl', ['delete', 'namespace', NAMESPACE, DEV_NAMESPACE, '--ignore-not-found']);
  if (images.length > 0) await removeImages(images);
}

/** Nothing is left behind by a run that is interrupted, either. */
function leave(signal: NodeJS.Signals): void {
  if (!options.keep) spawnSync('kubectl', ['delete', 'namespace', NAMESPACE, DEV_NAMESPACE, '--ignore-not-found', '--wait=false']);
  process.kill(process.pid, signal);
}

async function provideAll(context: string, made: string[]): Promise<Images> {
  const built = await steps.run('image', () => buildImage(version));
  const next = await steps.run('another image', () => buildImage(`${version}-next`));
  made.push(built, next);
  const size = await sizeMb(built);
  if (size > LARGEST_IMAGE_MB) throw new Error(`the image has ${size} MB, more than ${LARGEST_IMAGE_MB}: docker history ${built} tells of what`);
  steps.say(`built ${built}, ${size} MB, and ${next}; bringing them to ${context}`);
  return steps.run('images for the cluster', async () => {
    const manifests = await Promise.all(['overlay', 'load', 'dev'].map((overlay) => run('kubectl', ['kustomize', join(import.meta.dirname, overlay)])));
    const names = new Set([...manifests.join('\n').matchAll(/^\s*-? ?image: (\S+)$/gm)].map(([, name]) => name!));
    const ours = `txmesh:${version}`;
    names.delete(ours);
    const provided = await provideImages([...names], context);
    const [image, nextImage] = [await shipImage(built, context), await shipImage(next, context)];
    for (const name of [image, nextImage]) if (!made.includes(name)) made.push(name);
    provided.set(ours, image);
    const named = (manifest: string): string => manifest.replaceAll(/(?<=image: )\S+$/gm, (name) => provided.get(name) ?? name);
    return { named, txmesh: image, next: nextImage };
  });
}

async function deploy(images: Images, folder: string): Promise<void> {
  await run('kubectl', ['delete', 'namespace', NAMESPACE, '--ignore-not-found']);
  await apply(readFileSync(join(ROOT, 'deploy/base/namespace.yaml'), 'utf8').replace('name: txmesh', `name: ${NAMESPACE}`));
  const secrets = neededCertificates(NAMESPACE).map((needed) => {
    const { ca, cert, key } = issue(needed, folder, 2);
    const files = { 'ca.crt': ca, 'tls.crt': cert, 'tls.key': key };
    if (needed.secret === 'client-tls') for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name: needed.secret, namespace: NAMESPACE }, stringData: files };
  });
  await apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: secrets }));
  await apply(images.named(await run('kubectl', ['kustomize', join(import.meta.dirname, 'overlay')])));
  const all = [...['etcd', ...SERVICES].map((set) => `statefulset/${set}`), 'statefulset/prometheus', 'deployment/jaeger', 'deployment/opentelemetry-collector'];
  for (const each of all) await kubectl('rollout', 'status', each, '--timeout=240s');
  steps.say(`ready:\n${await kubectl('get', 'pods', '-o', 'wide')}`);
}

async function tryReadme(grpcurl: Grpcurl): Promise<void> {
  const forward = await forwardPort('service/coordinator', 50051);
  try {
    steps.say(`${await runReadme(forward.address, grpcurl)} grpcurl commands of README.md do over TLS what it shows`);
  } finally {
    forward.close();
  }
}

async function maintain(): Promise<void> {
  for (const job of ['etcd-defragment', 'etcd-backup']) steps.say(`${job} ran:\n${await runNow(job)}`);
}

/** A threshold that does not hold is told now, and fails the test when the rest has been seen. */
async function load(images: Images): Promise<Error | undefined> {
  try {
    steps.say(`the thresholds of k6 hold:\n${await runLoad(images.named)}`);
    return undefined;
  } catch (error) {
    steps.say(`FAILED: ${(error as Error).message}`);
    return error as Error;
  }
}

/** @param look tells what it has found */
async function observe(look: (prometheus: Prometheus) => Promise<string>): Promise<void> {
  const prometheus = await Prometheus.reach();
  try {
    steps.say(await look(prometheus));
  } finally {
    prometheus.close();
  }
}

/** One after the other while work goes on, each with the gaps in service that it made. */
async function breakThings(images: Images, grpcurl: Grpcurl): Promise<Report> {
  const work = await WorkPod.start(images.txmesh);
  steps.say('work goes on inside the cluster');
  await pause(CALM_MS);
  for (const { what, strike } of blows(grpcurl, images.next, work)) {
    const before = Date.now();
    const struck = await strike();
    await pause(CALM_MS);
    const tookSeconds = Math.round((Date.now() - before) / 1000);
    steps.say(`${what} (${struck}; ${tookSeconds} s): ${work.gapsSince(before)}; ${await leadership(grpcurl)}`);
  }
  return work.finish();
}

/** How many partitions each pod leads, in words. */
async function leadership(grpcurl: Grpcurl): Promise<string> {
  const leaders = [...(await leadersOf(grpcurl))].sort(([a], [b]) => a.localeCompare(b));
  return `partitions led: ${leaders.map(([pod, count]) => `${pod || 'nobody'} ${count}`).join(', ')}`;
}

/** @throws where something is lost, counted twice, in doubt or was never done */
async function conclude({ violations, done, longestGapMs, errors, ...report }: Report, grpcurl: Grpcurl): Promise<void> {
  const list = (counts: Readonly<Record<string, number>>, unit = ''): string => Object.entries(counts).map(([what, count]) => `${what} ${count}${unit}`).join(', ');
  steps.say(`in ${report.seconds} s: ${list(done)}; ${report.refused} refused, ${report.unknownAtFirst} settled later, ${report.audits} audits; errors: ${list(errors) || 'none'}`);
  steps.say(`the longest time without: ${list(longestGapMs, ' ms')}`);
  let open: readonly string[] = [];
  await until('nothing is in doubt', SETTLE_BOUND_MS, async () => (open = await inDoubt(grpcurl)).length === 0, () => open.join('; '));
  const idle = Object.keys(done).filter((what) => done[what] === 0).map((what) => `no ${what}`);
  const long = Object.entries(longestGapMs).filter(([, gapMs]) => gapMs > LONGEST_GAP_MS).map(([what, gapMs]) => `${gapMs} ms without ${what}`);
  const wrong = [...violations, ...idle, ...long];
  if (wrong.length > 0) throw new Error(`not everything adds up: ${wrong.join('; ')}`);
  steps.say('all money, every message and every add is there, once, and no transaction is in doubt');
}

await main();
