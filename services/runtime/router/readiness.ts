/** Whether the partitions of services are led by somebody who is known, here or elsewhere. */

import type { ClusterView } from '../cluster/view.ts';

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

  /** There are key-value participants, and all of them are led. */
  get participantsLed(): boolean {
    const participants = [...this.view.services.values()].filter(({ kind }) => kind === 'key-value');
    return participants.length > 0 && participants.every(({ name }) => this.isLed(name));
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
