/**
 * The panels of the dashboards that may show nothing, or nothing but 0, after the load, each with the reason. All
 * others must show what it did.
 */

export interface Still {
  /** `zero`: a line at 0; `nothing`: not even that, where the first of what it counts begins the line. */
  readonly shows: 'zero' | 'nothing';
  readonly because: string;
  /** It moves when things break. */
  readonly until?: 'faults';
}

export const STILL: Readonly<Record<string, Still>> = {
};
