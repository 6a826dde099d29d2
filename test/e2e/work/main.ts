/**
 * Works without a break inside the cluster, with money, messages and counters, until it is sent SIGUSR2; then
 * checks that nothing is lost and nothing counted twice, and ends. What it prints is one line of JSON each,
 * which work-pod.ts reads.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { connect } from 'txmesh/client';
import { Bank } from '../../integration/support/bank.ts';
import { Adds } from './adds.ts';
import { Parcels } from './parcels.ts';
import { PlainReads } from './plain-reads.ts';
import { Progress } from './progress.ts';

const TRANSFERRERS = 4;
const POLL_MS = 100;

const tls = (name: string): Buffer => readFileSync(`/etc/txmesh/tls/${name}`);
const credentials = grpc.credentials.createSsl(tls('ca.crt'), tls('tls.key'), tls('tls.crt'));
const say = (line: object): void => console.log(JSON.stringify(line));

await using mesh = connect({ addresses: ['coordinator:50051', 'participant:50051', 'queue:50051', 'counter:50051'], credentials, timeoutMs: 20_000 });
const bank = new Bank(mesh);
const parcels = new Parcels(mesh);
const adds = new Adds(mesh);
const reads = new PlainReads(`dns:///coordinator-headless.${process.env['NAMESPACE']}.svc:50051`, credentials);
for (const work of [bank, parcels, adds]) await work.open();
const startMs = performance.now();
bank.run(TRANSFERRERS);
parcels.run();
adds.run();
reads.run();
const works = [
  new Progress('transfers', () => bank.acknowledged.size),
  new Progress('messages published', () => parcels.published.size),
  new Progress('messages handled', () => parcels.handled.size),
  new Progress('adds', () => adds.counted),
  new Progress('plain reads', () => reads.answered),
];
say({ type: 'running' });

const stop = Promise.withResolvers<void>();
process.once('SIGUSR2', () => stop.resolve());
let stopped = false;
let replicas = '';
void stop.promise.then(() => (stopped = true));
while (!stopped) {
  await pause(POLL_MS);
  for (const work of works) {
    const lengthMs = work.look(performance.now());
    if (lengthMs !== undefined) say({ type: 'gap', work: work.name, endMs: Date.now(), lengthMs });
  }
  const answering = reads.replicas(performance.now());
  if (answering.join() !== replicas) say({ type: 'replicas', addresses: answering });
  replicas = answering.join();
}
const endMs = performance.now();
const longestGapMs = Object.fromEntries(works.map((work) => [work.name, work.longestGapMs(endMs)]));
await Promise.all([bank.stop(), parcels.stop(), adds.stop(), reads.stop()]);
for (const work of [bank, parcels, adds]) await work.check();
const violations = [...bank.violations, ...parcels.violations, ...adds.violations];
for await (const { transactionId, state } of mesh.list({ states: ['ACTIVE', 'PREPARING', 'COMMITTING', 'ABORTING'] }))
  violations.push(`${transactionId} is still ${state}`);
say({
  type: 'report',
  seconds: Math.round((endMs - startMs) / 1000),
  done: Object.fromEntries(works.map((work) => [work.name, work.count()])),
  unknownAtFirst: bank.unknown + parcels.unknown + adds.unknown,
  refused: bank.refused.size + parcels.refused.size + adds.refused,
  audits: bank.audits,
  errors: Object.fromEntries([bank, parcels, adds, reads].flatMap(({ errors }) => [...errors])),
  longestGapMs,
  violations,
});
process.exitCode = violations.length === 0 ? 0 : 1;
