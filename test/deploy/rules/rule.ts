import type { Resource } from '../support/resource.ts';

/** A rule of the house about what an overlay deploys. */
export interface Rule {
  readonly name: string;
  /** One sentence for each violation. */
  check(resources: readonly Resource[]): string[];
}
