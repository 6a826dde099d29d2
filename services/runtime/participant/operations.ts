/** What is to be known of a kind of participant's operations before its kernel sees them. */

import type { Failure } from '../../kernel/failure.ts';
import type { OpaqueOperation } from '../../kernel/messages.ts';
import type { ResourceTypes } from '../../kernel/participant/types.ts';
import type { ParticipantKindName, Service } from '../cluster/service.ts';

export interface KindOperations<T extends ResourceTypes = ResourceTypes> {
  /** As in the service's record. */
  readonly name: ParticipantKindName;
  /** For people: "key-value participant". */
  readonly label: string;
  /** Type URLs of operations that only read: a branch of nothing else is read-only (invariant T11). */
  readonly readOnlyTypes: ReadonlySet<string>;
  /** From what a coordinator or a client sends to what the kernel takes; or why not. Bytes are copied where they are kept. */
  decodeOperations(operations: readonly OpaqueOperation[]): readonly T['operation'][] | Failure;
  /** Of the content, for local transactions: the same in whatever wire form it came (invariant T10). */
  fingerprintOf(operations: readonly T['operation'][]): string;
  /** What is wrong with the first operation that belongs to another partition than this one. */
  misplaced(operations: readonly T['operation'][], service: Service, partition: number): Failure | undefined;
}

/** Every kind of participant that this version of the mesh has, for what serves all of them. */
export class Kinds {
  private readonly kinds: ReadonlyMap<string, KindOperations>;
  /** Of all kinds. */
  readonly readOnlyTypes: ReadonlySet<string>;

  constructor(kinds: readonly KindOperations[]) {
    this.kinds = new Map(kinds.map((kind) => [kind.name, kind]));
    this.readOnlyTypes = new Set(kinds.flatMap((kind) => [...kind.readOnlyTypes]));
  }

  /** The kind of this service; undefined if it is none that the mesh hosts. */
  of(service: Service | undefined): KindOperations | undefined {
    return service && this.kinds.get(service.kind);
  }
}
