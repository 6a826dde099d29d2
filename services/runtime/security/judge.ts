/** Holds what a request needs against its caller's rights. */

import type { Failure } from '../../kernel/failure.ts';
import type { Judge, NamedKind, ResourceKind } from './access.ts';
import type { Rights } from './rights.ts';

/** What was asked for and not allowed. */
export interface Denial {
  readonly method: string;
  readonly resource?: Resource | undefined;
}

export interface Resource {
  readonly kind: ResourceKind | 'operations';
  readonly participant: string;
  /** Empty: the participant as a whole. */
  readonly name: string;
}

/** One for a server, used within one turn of the event loop. */
export class RightsJudge implements Judge {
  denial: Denial | undefined;
  /** The request could not be understood. */
  failure: Failure | undefined;
  /** Of what was allowed last. */
  rule = '';
  private rights!: Rights;
  private method = '';

  /** Begins with a request; what was found of the one before is forgotten. */
  begin(rights: Rights, method: string): this {
    this.rights = rights;
    this.method = method;
    this.denial = undefined;
    this.failure = undefined;
    return this;
  }

  get allows(): boolean {
    return this.denial === undefined && this.failure === undefined;
  }

  needs(kind: NamedKind, participant: string, name: string): void {
    this.needsFor(this.method, kind, participant, name);
  }

  needsAll(kind: NamedKind, participant: string, prefix: string): void {
    const rule = this.rights.ruleForAll(this.method, kind, participant, prefix);
    if (rule !== undefined) this.rule = rule;
    else this.deny(this.method, kind, participant, `${prefix}*`);
  }

  needsParticipant(participant: string): void {
    const rule = this.rights.ruleForParticipant(this.method, participant);
    if (rule !== undefined) this.rule = rule;
    else this.deny(this.method, 'participants', participant, '');
  }

  needsFor(method: string, kind: NamedKind, participant: string, name: string): void {
    const rule = this.rights.ruleForResource(method, kind, participant, name);
    if (rule !== undefined) this.rule = rule;
    else this.deny(method, kind, participant, name);
  }

  needsOperation(type: string, participant: string): void {
    const rule = this.rights.ruleForOperation(type, participant);
    if (rule !== undefined) this.rule = rule;
    else this.deny(this.method, 'operations', participant, type);
  }

  refuse(failure: Failure): void {
    this.failure ??= failure;
  }

  private deny(method: string, kind: Resource['kind'], participant: string, name: string): void {
    this.denial ??= { method, resource: { kind, participant, name } };
  }
}
