/**
 * Attributes by a name that users choose, such as a topic's. The first names get series of their own;
 * what comes later is summed under {@link OTHER}, so that their number is bounded.
 */

import type { Attributes } from '@opentelemetry/api';

export const MOST_NAMES = 100;
export const OTHER = 'other';

export class Labels {
  private readonly byName = new Map<string, Attributes>();
  private readonly key: string;
  private readonly common: Attributes;
  private readonly other: Attributes;

  /** @param key of the attribute that has the name; @param common what all of them have */
  constructor(key: string, common: Attributes = {}) {
    this.key = key;
    this.common = common;
    this.other = { ...common, [key]: OTHER };
  }

  /** The same object for the same name, to be used as it is. */
  of(name: string): Attributes {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    if (this.byName.size >= MOST_NAMES) return this.other;
    const attributes = { ...this.common, [this.key]: name };
    this.byName.set(name, attributes);
    return attributes;
  }
}
