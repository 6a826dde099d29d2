/** What has partitions: the coordinator and the participants. */

/** The coordinator's service name; participants can't have it. */
export const COORDINATOR = 'coordinator';

/** Kinds of participants that the mesh hosts. */
export type ParticipantKindName = 'key-value' | 'queue' | 'counter';

export type ServiceKind = 'coordinator' | ParticipantKindName | 'external';

export interface Service {
  readonly name: string;
  readonly kind: ServiceKind;
  /** How many; fixed when the service first started (invariant P6). */
  readonly partitions: number;
}
