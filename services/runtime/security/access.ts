/**
 * What a method asks of its caller, as the rooms of the services say it: a table with an entry for every
 * method of a service, complete by its type. The policy's rules are held against what the entries name.
 */

import type { Failure } from '../../kernel/failure.ts';

/** Kinds of what rules can name. Keys, messages and values have no rules of their own. */
export const RESOURCE_KINDS = ['participants', 'collections', 'topics', 'subscriptions', 'snapshots', 'counters'] as const;
export type ResourceKind = (typeof RESOURCE_KINDS)[number];
/** What lies at a participant. */
export type NamedKind = Exclude<ResourceKind, 'participants'>;

/**
 * Which kind of right a method needs.
 * - ordinary: any grant that names the method
 * - admin, participate: a grant that names the method and this right
 * - peer: only the mesh's own replicas; no grant gives it
 * - health, reflection: as ordinary, and open to anybody where the policy says so
 */
export type Right = 'ordinary' | 'admin' | 'participate' | 'peer' | 'health' | 'reflection';

/** Takes down what a request needs, and knows whether its caller has it. Used within one turn, and never kept. */
export interface Judge {
  /** The method on one resource. */
  needs(kind: NamedKind, participant: string, name: string): void;
  /** The method on every resource whose name begins so. */
  needsAll(kind: NamedKind, participant: string, prefix: string): void;
  /** The method at a participant as a whole. */
  needsParticipant(participant: string): void;
  /** The right of another method, for what a transaction carries. @param method "KeyValueService/Put" */
  needsFor(method: string, kind: NamedKind, participant: string, name: string): void;
  /** To send operations of a type that the mesh does not know to a participant outside of it. */
  needsOperation(type: string, participant: string): void;
  /** The request can't be understood, so nothing is known of what it needs. */
  refuse(failure: Failure): void;
  /** Whether everything so far is allowed. */
  readonly allows: boolean;
}

export interface MethodAccess<Request = never> {
  readonly right: Right;
  /** What it names to the judge. */
  readonly about: readonly ResourceKind[];
  judge?(request: Request, judge: Judge): void;
  /** Of a stream whose first message names its resource: that, in the form of a message without its content. */
  opening?(request: Request): unknown;
  /** Calls in one message, for limits. Default 1. */
  count?(request: Request): number;
}

/** A stream that carries calls of their own: what is allowed is let through, the rest answered. */
export interface PartsAccess<Request = never, Response = never> extends MethodAccess<Request> {
  screen(request: Request, judge: JudgeOfParts): Screened<Request, Response>;
}

/** A judge of one part of a message after the other. */
export interface JudgeOfParts {
  /** Why this part may not be executed; undefined: it may. */
  of(judge: (judge: Judge) => void): Failure | undefined;
}

export interface Screened<Request, Response> {
  /** Undefined: nothing is left. */
  readonly request: Request | undefined;
  readonly answer?: Response;
}

type RequestOf<Method> = Method extends { requestDeserialize(bytes: Buffer): infer Request } ? Request : never;
type ResponseOf<Method> = Method extends { responseSerialize(value: infer Response): Buffer } ? Response : never;

/** An entry for every method of a service, by its generated definition. */
export type AccessTable<Definition> = {
  readonly [Name in keyof Definition]: MethodAccess<RequestOf<Definition[Name]>> | PartsAccess<RequestOf<Definition[Name]>, ResponseOf<Definition[Name]>>;
};

/** What an operation of a transaction needs. @throws Error where its bytes are not what its type says */
export type OperationAccess = (participant: string, value: Uint8Array, judge: Judge) => void;

/** By the full name of the operation's type: "txmesh.keyvalue.v1.PutOperation". */
export type OperationTable = Readonly<Record<string, OperationAccess>>;

/** An operation as a transaction carries it. */
export interface CarriedOperation {
  readonly participant: string;
  readonly operation?: { readonly typeUrl: string; readonly value: Uint8Array } | undefined;
}
