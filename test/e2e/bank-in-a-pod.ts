/**
 * Moves money inside the cluster until it is sent SIGUSR2; then checks that none is lost, and ends.
 * What it prints is one line of JSON each, which k8s.ts reads.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { connect } from 'txmesh/client';
import { Bank } from '../integration/support/bank.ts';

const WORKERS = 4;
/** Shorter ones are no gaps in service. */
const GAP_MS = 500;
const POLL_MS = 100;

const tls = (name: string): Buffer => readFileSync(`/etc/txmesh/tls/${name}`);
const credentials = grpc.credentials.createSsl(tls('ca.crt'), tls('tls.key'), tls('tls.crt'));
const say = (line: object): void => console.log(JSON.stringify(line));

await using mesh = connect({ addresses: ['coordinator:50051', 'participant:50051'], credentials, timeoutMs: 20_000 });
const bank = new Bank(mesh);
await bank.open();
const startMs = performance.now();
bank.run(WORKERS);
say({ type: 'running' });

const stop = Promise.withResolvers<void>();
process.once('SIGUSR2', () => stop.resolve());
let stopped = false;
void stop.promise.then(() => (stopped = true));
let lastCount = 0;
let lastMs = performance.now();
while (!stopped) {
  await pause(POLL_MS);
  const nowMs = performance.now();
  if (bank.acknowledged.size === lastCount) continue;
  if (nowMs - lastMs > GAP_MS) say({ type: 'gap', endMs: Date.now(), lengthMs: Math.round(nowMs - lastMs) });
  lastCount = bank.acknowledged.size;
  lastMs = nowMs;
}
const endMs = performance.now();
await bank.stop();
await bank.check();
for await (const { transactionId, state } of mesh.list({ states: ['ACTIVE', 'PREPARING', 'COMMITTING', 'ABORTING'] }))
  bank.violations.push(`${transactionId} is still ${state}`);
say({
  type: 'report',
  seconds: Math.round((endMs - startMs) / 1000),
  transfers: bank.acknowledged.size,
  refused: bank.refused.size,
  unknownAtFirst: bank.unknown,
  audits: bank.audits,
  longestGapMs: Math.round(bank.longestGapMs(startMs, endMs)),
  errors: Object.fromEntries(bank.errors),
  violations: bank.violations,
});
process.exitCode = bank.violations.length === 0 ? 0 : 1;
