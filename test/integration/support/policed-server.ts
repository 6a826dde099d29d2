/** A server of every kind in this process, under a policy, for callers with tokens. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { connect, type ConnectOptions, type Mesh } from '../../../services/client/index.ts';
import { startNode, type Node } from '../../../services/mesh.ts';
import { catalogueOfMesh } from '../../../services/mesh/access.ts';
import { systemClock, type Clock } from '../../../services/runtime/clock.ts';
import type { AdmissionRefusal } from '../../../services/runtime/security/observer.ts';
import { openSecurity } from '../../../services/runtime/security/open.ts';
import { MemoryStore } from '../../../services/runtime/store/memory.ts';
import { AUDIENCE, ISSUER, type TokenIssuer } from './token-issuer.ts';

export interface Policed {
  readonly node: Node;
  readonly logs: Record<string, unknown>[];
  /** Limits that have refused a call, one after the other. */
  readonly refusals: readonly AdmissionRefusal[];
  /** Exchanges the policy's file. */
  rewrite(text: string): void;
  as(subject: string, options?: Partial<ConnectOptions>): Mesh;
}

/** Files are looked at at once instead of every few seconds. */
const hasty: Clock = { ...systemClock, setTimer: (delayMs, call) => systemClock.setTimer(delayMs === 5_000 ? 20 : delayMs, call) };

/** A server that is ended with the test. Operators are the group of the subject `operator`. */
export async function servePolicy(issuer: TokenIssuer, policy: string): Promise<Policed> {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-policy-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'policy.yaml');
  writeFileSync(file, policy);
  const logs: Record<string, unknown>[] = [];
  const log = (message: string, fields: Record<string, unknown>): void => void logs.push({ message, ...fields });
  const refusals: AdmissionRefusal[] = [];
  const observer = { decided: () => undefined, refused: (limit: AdmissionRefusal) => void refusals.push(limit) };
  const security = openSecurity(
    { policy: file, keys: issuer.writeTo(join(folder, 'keys.json')), tokens: { issuer: ISSUER, audience: AUDIENCE, algorithms: ['ES256'], leewayMs: 0 }, audit: 'all', encrypted: false, certificates: false },
    { catalogue: catalogueOfMesh(), clock: hasty, observer, audit: log, info: log, error: log },
  );
  const node = await startNode(
    { host: '127.0.0.1', port: 0, coordinator: true, participants: ['inventory', 'payments'], queues: ['queue'], counters: ['counter'], defaultPartitions: 1 },
    { store: new MemoryStore(systemClock), log, guard: security.guard },
  );
  onTestFinished(async () => {
    security.close();
    await node.drain(0);
  });
  await node.ready();
  return {
    node,
    logs,
    refusals,
    rewrite: (text) => writeFileSync(file, text),
    as(subject, options = {}) {
      const claims = subject === 'operator' ? { groups: ['operators'] } : {};
      const mesh = connect({ addresses: [node.address], token: () => issuer.token(subject, 600, claims), timeoutMs: 15_000, ...options });
      onTestFinished(() => mesh.close());
      return mesh;
    },
  };
}
