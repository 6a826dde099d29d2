/** Whether the partitions of services are led by somebody who is known, here or elsewhere. */

import type { ClusterView, ServiceKind } from '../cluster/view.ts';

export class Readiness {
  private readonly view: Pick<ClusterView, 'service' | 'services' | 'leader' | 'onChange'>;

  constructor(view: Pick<ClusterView, 'service' | 'services' | 'leader' | 'onChange'>) {
    this.view = view;
  }

  /** Every partition of the service is led. */
  isLed(name: string): boolean {
    const service = this.view.service(name);
    if (service === undefined) return false;
    for (let partition = 0; partition < service.partitions; partition++)
      if (this.view.leader(name, partition) === undefined) return false;
    return true;
  }

  /** All services of such kinds are led; undefined: there are none in the mesh. */
  areLed(isMeant: (kind: ServiceKind) => boolean): boolean | undefined {
    const meant = [...this.view.services.values()].filter(({ kind }) => isMeant(kind));
    return meant.length === 0 ? undefined : meant.every(({ name }) => this.isLed(name));
  }

  /** Resolves when all these services are led. */
  whenLed(names: readonly string[]): Promise<void> {
    const allLed = (): boolean => names.every((name) => this.isLed(name));
    if (allLed()) return Promise.resolve();
    return new Promise((resolve) => {
      const unsubscribe = this.view.onChange(() => {
        if (!allLed()) return;
        unsubscribe();
        resolve();
      });
    });
  }
}
