/** What this machine can do at most, so that every figure can be read as a ratio. */

import { closeSync, fdatasync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import type { Store } from '../../services/runtime/store/store.ts';

const SMALL = Buffer.alloc(200, 7);

/** fdatasyncs a second of one small append each, one after the other. */
export async function fsyncsPerSecond(folder: string, seconds: number): Promise<number> {
  const file = openSync(join(folder, 'fsync.bin'), 'w');
  const sync = promisify(fdatasync);
  const startMs = performance.now();
  let count = 0;
  try {
    while (performance.now() - startMs < seconds * 1000) {
      writeSync(file, SMALL);
      await sync(file);
      count++;
    }
  } finally {
    closeSync(file);
  }
  return (count * 1000) / (performance.now() - startMs);
}

/** Durable writes a second of `keys` records of so many bytes each, by `writers` at a time; and the median in ms. */
export async function writesPerSecond(
  store: Store,
  writers: number,
  keys: number,
  bytes: number,
  seconds: number,
): Promise<{ readonly perSecond: number; readonly p50Ms: number }> {
  const value = Buffer.alloc(bytes, 7);
  const startMs = performance.now();
  const latencies: number[] = [];
  const write = async (writer: number): Promise<void> => {
    for (let n = 0; performance.now() - startMs < seconds * 1000; n++) {
      const puts = Array.from({ length: keys }, (_, i) => ({ key: `bench/${writer}/${n % 100}/${i}`, value }));
      const sentMs = performance.now();
      await store.write({ puts });
      latencies.push(performance.now() - sentMs);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  const perSecond = (latencies.length * 1000) / (performance.now() - startMs);
  latencies.sort((a, b) => a - b);
  return { perSecond, p50Ms: latencies[Math.floor(latencies.length / 2)] ?? NaN };
}

const raw = (value: Buffer): Buffer => value;
const ECHO = {
  echo: {
    path: '/txmesh.bench.Echo/Echo',
    requestStream: true,
    responseStream: true,
    requestSerialize: raw,
    requestDeserialize: raw,
    responseSerialize: raw,
    responseDeserialize: raw,
  },
} as const;

/** Answers every frame of an echo stream; run in a process of its own. Prints its port. */
export async function serveEcho(): Promise<void> {
  const server = new grpc.Server();
  server.addService(ECHO, {
    echo(call: grpc.ServerDuplexStream<Buffer, Buffer>) {
      call.on('data', (frame: Buffer) => void call.write(frame));
      call.on('end', () => call.end());
    },
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  process.send!({ port });
}

/** Messages a second through one bidirectional stream, 64 messages of 200 bytes to a frame, there and back. */
export async function streamMessagesPerSecond(port: number, seconds: number): Promise<number> {
  const MESSAGES = 64;
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const call = client.makeBidiStreamRequest(ECHO.echo.path, raw, raw);
  const frame = Buffer.alloc(MESSAGES * 200, 1);
  let received = 0;
  const startMs = performance.now();
  await new Promise<void>((resolve, reject) => {
    call.on('error', reject);
    call.on('data', () => {
      received += MESSAGES;
      if (performance.now() - startMs < seconds * 1000) call.write(frame);
      else resolve();
    });
    for (let i = 0; i < 16; i++) call.write(frame);
  });
  const perSecond = (received * 1000) / (performance.now() - startMs);
  call.removeAllListeners('error').on('error', () => undefined);
  call.cancel();
  client.close();
  return perSecond;
}
