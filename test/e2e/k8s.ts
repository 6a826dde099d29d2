/**
 * `npm run e2e:k8s`: the image, the manifests and the mesh on a real Kubernetes, the one that kubectl
 * reaches. Builds the image, deploys etcd (3), coordinator (2) and participant (2) with TLS and network
 * policies, runs the README's grpcurl commands through a port-forward, and then, while money is moved,
 * deletes leaders one by one and does the rest of blows.ts. At the end all money must be there.
 *
 *   --keep   leaves everything running at the end
 *
 * Environment: E2E_REGISTRY (localhost:5000), where images are pushed unless the cluster is kind or
 * minikube; DOCKER, the docker to build with; E2E_K8S=1 makes a missing cluster a failure with CI=true.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { issue } from '../../deploy/certificates/issue.ts';
import { neededCertificates } from '../../deploy/certificates/needed.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { version } from '../../services/version.ts';
import { BankPod, type Report } from './bank-pod.ts';
import { BLOWS } from './blows.ts';
import { buildImage, shipImage, sizeMb } from './image.ts';
import { apply, forwardPort, kubectl, NAMESPACE, run } from './kubectl.ts';
import { grpcurlIn, leadersOf, runReadme, type Grpcurl } from './readme.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** Between two faults, so that each one's gap is its own. */
const CALM_MS = 5_000;

const { values: options } = parseArgs({ options: { keep: { type: 'boolean', default: false } } });
const startMs = performance.now();
const say = (text: string): void => console.log(`[${Math.round((performance.now() - startMs) / 1000)} s] ${text}`);

async function main(): Promise<number> {
  const context = await reachableContext();
  if (context === undefined) return 0;
  const tools = await requireGoTools('grpcurl');
  if (tools === undefined) throw new Error('grpcurl is needed: put it, or go to build it, on PATH');
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-e2e-'));
  try {
    say(`building the image`);
    const built = await buildImage(version);
    say(`built ${built}, ${await sizeMb(built)} MB; bringing it to ${context}`);
    const image = await shipImage(built, context);
    await deploy(image, folder);
    const grpcurl = grpcurlIn(folder, tools.grpcurl);
    await tryReadme(grpcurl);
    const report = await breakThings(image, grpcurl);
    return conclude(report);
  } catch (error) {
    console.error(await kubectl('get', 'pods').catch(String));
    console.error(await kubectl('get', 'events', '--field-selector=type=Warning', '-o', 'custom-columns=:involvedObject.name,:message').catch(String));
    console.error(await kubectl('logs', '--selector=app.kubernetes.io/name in (txmesh, bank)', '--prefix', '--tail=15').catch(String));
    throw error;
  } finally {
    rmSync(folder, { recursive: true });
    if (!options.keep) await run('kubectl', ['delete', 'namespace', NAMESPACE, '--ignore-not-found']);
  }
}

/** Undefined, told loudly, where there is no cluster. */
async function reachableContext(): Promise<string | undefined> {
  try {
    await run('kubectl', ['get', '--raw', '/readyz'], { boundMs: 20_000 });
    return (await run('kubectl', ['config', 'current-context'])).trim();
  } catch (error) {
    const reason = `no Kubernetes is in reach (kubectl, KUBECONFIG): ${(error as Error).message.trim()}`;
    if (process.env['CI'] === 'true' && process.env['E2E_K8S'] === '1') throw new Error(reason, { cause: error });
    console.error(`\n!!! NOTHING WAS TESTED ON KUBERNETES: ${reason}\n`);
    return undefined;
  }
}

async function deploy(image: string, folder: string): Promise<void> {
  await run('kubectl', ['delete', 'namespace', NAMESPACE, '--ignore-not-found']);
  await apply(readFileSync(join(ROOT, 'deploy/base/namespace.yaml'), 'utf8').replace('name: txmesh', `name: ${NAMESPACE}`));
  const secrets = neededCertificates(NAMESPACE).map((needed) => {
    const { ca, cert, key } = issue(needed, folder, 2);
    const files = { 'ca.crt': ca, 'tls.crt': cert, 'tls.key': key };
    if (needed.secret === 'client-tls') for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name: needed.secret, namespace: NAMESPACE }, stringData: files };
  });
  await apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: secrets }));
  const manifest = await run('kubectl', ['kustomize', join(import.meta.dirname, 'overlay')]);
  await apply(manifest.replaceAll(`image: txmesh:${version}`, `image: ${image}`));
  say('deployed; waiting until etcd, coordinator and participant are ready');
  for (const set of ['etcd', 'coordinator', 'participant']) await kubectl('rollout', 'status', `statefulset/${set}`, '--timeout=240s');
  say(`ready:\n${await kubectl('get', 'pods', '-o', 'wide')}`);
}

async function tryReadme(grpcurl: Grpcurl): Promise<void> {
  const forward = await forwardPort('service/coordinator', 50051);
  try {
    say(`${await runReadme(forward.address, grpcurl)} grpcurl commands of README.md do over TLS what it shows`);
  } finally {
    forward.close();
  }
}

/** One after the other while money is moved, each with the gaps in service that it made. */
async function breakThings(image: string, grpcurl: Grpcurl): Promise<Report> {
  const bank = await BankPod.start(image);
  say('money is being moved inside the cluster');
  await pause(CALM_MS);
  for (const { what, strike } of BLOWS) {
    const before = Date.now();
    await strike();
    await pause(CALM_MS);
    say(`${what}: ${bank.gapsSince(before)}; ${await leadership(grpcurl)}`);
  }
  return bank.finish();
}

/** How many partitions each pod leads, in words. */
async function leadership(grpcurl: Grpcurl): Promise<string> {
  const forward = await forwardPort('service/coordinator', 50051);
  try {
    const leaders = [...(await leadersOf(forward.address, grpcurl))].sort(([a], [b]) => a.localeCompare(b));
    return `partitions led: ${leaders.map(([pod, count]) => `${pod || 'nobody'} ${count}`).join(', ')}`;
  } finally {
    forward.close();
  }
}

function conclude({ violations, ...report }: Report): number {
  say(`${report.transfers} transfers in ${report.seconds} s, ${report.refused} refused, ${report.unknownAtFirst} settled later, ${report.audits} audits; errors: ${JSON.stringify(report.errors)}`);
  say(`the longest time without a transfer: ${report.longestGapMs} ms`);
  for (const violation of violations) say(`VIOLATION: ${violation}`);
  say(violations.length === 0 ? 'all money is there, and no transaction is in doubt' : 'FAILED');
  return violations.length === 0 && report.transfers > 0 ? 0 : 1;
}

process.exitCode = await main();
