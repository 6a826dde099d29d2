/**
 * A client without the SDK, as docs/grpc-clients.md describes it: the headless Service by name, and the service config
 * of the package. It reads all the time, from every replica in turn.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';

const METHOD = '/txmesh.cluster.v1.ClusterService/GetCluster';
const BREATH_MS = 50;
/** A replica that has not answered for so long is none any more. */
const RECENT_MS = 3_000;
/** Instead of half a minute, so that the test need not wait for that. */
const LOOK_UP_AGAIN_MS = 2_000;

export class PlainReads {
  answered = 0;
  /** By status. */
  readonly errors = new Map<string, number>();
  private readonly client: grpc.Client;
  private readonly lastAnswerMs = new Map<string, number>();
  private readonly stopping = new AbortController();
  private working: Promise<void> = Promise.resolve();

  constructor(target: string, credentials: grpc.ChannelCredentials) {
    this.client = new grpc.Client(target, credentials, {
      'grpc.service_config': readFileSync(new URL('service-config.json', import.meta.url), 'utf8'),
      'grpc.dns_min_time_between_resolutions_ms': LOOK_UP_AGAIN_MS,
    });
  }

  run(): void {
    this.working = this.work();
  }

  /** The addresses that answer these days, sorted. */
  replicas(nowMs: number): string[] {
    return [...this.lastAnswerMs].filter(([, atMs]) => nowMs - atMs < RECENT_MS).map(([address]) => address).sort();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.working;
    this.client.close();
  }

  private async work(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const failure = await this.read();
      if (failure === undefined) this.answered++;
      else this.errors.set(`plain read: ${failure}`, (this.errors.get(`plain read: ${failure}`) ?? 0) + 1);
      await pause(BREATH_MS);
    }
  }

  /** @returns the status, where it is not OK */
  private read(): Promise<string | undefined> {
    const asIs = (bytes: Buffer): Buffer => bytes;
    return new Promise((resolve) => {
      const call = this.client.makeUnaryRequest(METHOD, asIs, asIs, Buffer.alloc(0), (error) => {
        if (error === null) this.lastAnswerMs.set(call.getPeer(), performance.now());
        resolve(error === null ? undefined : grpc.status[error.code]);
      });
    });
  }
}
