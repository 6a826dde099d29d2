/** A kind of participant, described for whoever puts a process together. */

import type { ParticipantRecord, ResourceTypes } from '../../kernel/participant/types.ts';
import type { Hosted } from '../cluster/replica.ts';
import type { RecordCodec } from '../partition/term.ts';
import type { Handlers } from '../transport/service.ts';
import type { HostOptions } from './host.ts';
import type { KindOperations } from './operations.ts';
import type { ParticipantServices } from './service.ts';

/** The API of a kind, beside ParticipantService. Every process serves it: what is led elsewhere is forwarded. */
export interface KindApi {
  /** Full name of the gRPC service, for health checks. */
  readonly serviceName: string;
  /** Generated. */
  readonly definition: object;
  readonly handlers: object;
  /** Services beside it, between the replicas. */
  readonly internal?: readonly KindApi[];
  /** Ends what the handlers keep open. */
  close?(): void;
}

/** @param definition generated */
export function kindApi<Definition extends object>(
  serviceName: string,
  definition: Definition,
  handlers: Handlers<Definition>,
  close?: () => void,
): KindApi {
  return { serviceName, definition, handlers, ...(close && { close }) };
}

export interface ParticipantKind<T extends ResourceTypes = ResourceTypes, Event = unknown> extends KindOperations<T> {
  readonly codec: RecordCodec<ParticipantRecord<T>>;
  /** A service of this kind, to be led partition by partition. */
  host(options: HostOptions<T>): Hosted;
  api(services: ParticipantServices<T, Event>): KindApi;
}
