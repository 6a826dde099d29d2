/** grpc.health.v1: the state of each service by its full name, and of the whole server under ''. */

import type * as grpc from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';

export class Health {
  private readonly implementation = new HealthImplementation({ '': 'NOT_SERVING' });
  private readonly serving = new Map<string, boolean | undefined>();

  addTo(server: Pick<grpc.Server, 'addService'>): void {
    this.implementation.addToServer(server as Parameters<HealthImplementation['addToServer']>[0]);
  }

  /**
   * The server as a whole serves when every service does.
   * @param serving undefined: it does not, because the mesh has nothing of that kind; as a whole it may.
   */
  set(service: string, serving: boolean | undefined): void {
    if (this.serving.has(service) && this.serving.get(service) === serving) return;
    this.serving.set(service, serving);
    this.implementation.setStatus(service, statusOf(serving === true));
    this.implementation.setStatus('', statusOf([...this.serving.values()].every((each) => each !== false)));
  }

  /** Whatever is set later is ignored: the server is stopping. */
  stop(): void {
    for (const service of this.serving.keys()) this.implementation.setStatus(service, 'NOT_SERVING');
    this.implementation.setStatus('', 'NOT_SERVING');
    this.set = () => undefined;
  }
}

const statusOf = (serving: boolean): 'SERVING' | 'NOT_SERVING' => (serving ? 'SERVING' : 'NOT_SERVING');
