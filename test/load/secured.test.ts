/** Load over TLS with a client certificate, and with a token. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { issue } from '../../deploy/certificates/issue.ts';
import { requireGoTools } from '../../deploy/local/go-tool.ts';
import { load, LoadTarget, NO_K6 } from './support.ts';

const BUILD_MS = 30 * 60_000;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'txmesh-load-secured-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

test('a mesh that wants certificates is put under load with one, and refuses a run without', async (context) => {
  const at = folder();
  const { ca, cert, key } = issue({ secret: 'load', authority: 'mesh', commonName: 'load', names: ['IP:127.0.0.1'] }, join(at, 'authorities'), 1);
  const [caFile, certFile, keyFile] = Object.entries({ ca, cert, key }).map(([name, pem]) => {
    writeFileSync(join(at, name), pem);
    return join(at, name);
  }) as [string, string, string];
  const target = await LoadTarget.start(['--tls-cert', certFile, '--tls-key', keyFile, '--tls-ca', caFile]);
  if (target === undefined) return context.skip(NO_K6);
  onTestFinished(() => target.stop());
  const { code, summary } = await target.run(['smoke', 'counter', '--duration', '3s', '--ca', caFile, '--cert', certFile, '--key', keyFile]);
  expect(code).toBe(0);
  expect(summary.passed).toBe(true);
  const without = await load(['smoke', 'counter', '--duration', '3s', '--ca', caFile, '--address', target.server.address]);
  expect(without.code).not.toBe(0);
  expect(without.output).toContain('create unknown');
}, BUILD_MS);

test('a token goes with every call, and is not shown', async (context) => {
  if ((await requireGoTools('k6')) === undefined) return context.skip(NO_K6);
  const server = new grpc.Server();
  onTestFinished(() => server.forceShutdown());
  const authorizations: unknown[] = [];
  const asIs = (bytes: Buffer): Buffer => bytes;
  const path = '/txmesh.counter.v1.CounterService/CreateCounter';
  server.addService(
    { create: { path, requestStream: false, responseStream: false, requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs } },
    {
      create: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
        authorizations.push(...call.metadata.get('authorization'));
        callback({ code: grpc.status.PERMISSION_DENIED, details: 'not you' });
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
  const file = join(folder(), 'token');
  writeFileSync(file, 'a.secret.token\n');
  const { code, output } = await load(['smoke', 'counter', '--address', `127.0.0.1:${port}`, '--token-file', file]);
  expect(authorizations).toEqual(['Bearer a.secret.token']);
  expect(code).not.toBe(0);
  expect(output).toContain('not you');
  expect(output).not.toContain('secret');
}, BUILD_MS);
