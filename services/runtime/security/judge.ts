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

/** Administration that a transaction carries, allowed. */
export interface Carried {
  readonly method: string;
  readonly rule: string;
  readonly resource: Resource;
}

/** Never added to. */
const NONE: Carried[] = [];

/** One for a server, used within one turn of the event loop. */
export class RightsJudge implements Judge {
  denial: Denial | undefined;
  /** The request could not be understood. */
  failure: Failure | undefined;
  /** Of what was allowed last; undefined: the request asks for nothing by itself. */
  rule: string | undefined;
  carried: Carried[] = NONE;
  private readonly isAdministration: (method: string) => boolean;
  private rights!: Rights;
  private method = '';
  private kind: Resource['kind'] | undefined;
  private participant = '';
  private name = '';

  /** @param isAdministration whether a method is, by its name in rules. */
  constructor(isAdministration: (method: string) => boolean) {
    this.isAdministration = isAdministration;
  }

  /** Begins with a request; what was found of the one before is forgotten. */
  begin(rights: Rights, method: string): this {
    this.rights = rights;
    this.method = method;
    this.denial = undefined;
    this.failure = undefined;
    this.kind = undefined;
    this.rule = undefined;
    this.carried = NONE;
    return this;
  }

  get allows(): boolean {
    return this.denial === undefined && this.failure === undefined;
  }

  /** What was allowed last. */
  get resource(): Resource | undefined {
    const { kind, participant, name } = this;
    return kind && { kind, participant, name };
  }

  needs(kind: NamedKind, participant: string, name: string): void {
    this.note(this.rights.ruleForResource(this.method, kind, participant, name), this.method, kind, participant, name);
  }

  needsAll(kind: NamedKind, participant: string, prefix: string): void {
    this.note(this.rights.ruleForAll(this.method, kind, participant, prefix), this.method, kind, participant, `${prefix}*`);
  }

  needsParticipant(participant: string): void {
    this.note(this.rights.ruleForParticipant(this.method, participant), this.method, 'participants', participant, '');
  }

  needsFor(method: string, kind: NamedKind, participant: string, name: string): void {
    const rule = this.rights.ruleForResource(method, kind, participant, name);
    this.note(rule, method, kind, participant, name);
    if (rule === undefined || method === this.method || !this.isAdministration(method)) return;
    const carried: Carried = { method, rule, resource: { kind, participant, name } };
    if (this.carried === NONE) this.carried = [carried];
    else this.carried.push(carried);
  }

  needsOperation(type: string, participant: string): void {
    this.note(this.rights.ruleForOperation(type, participant), this.method, 'operations', participant, type);
  }

  refuse(failure: Failure): void {
    this.failure ??= failure;
  }

  /** @param rule that allows it; undefined: none does. */
  private note(rule: string | undefined, method: string, kind: Resource['kind'], participant: string, name: string): void {
    if (rule === undefined) {
      this.denial ??= { method, resource: { kind, participant, name } };
      return;
    }
    this.rule = rule;
    this.kind = kind;
    this.participant = participant;
    this.name = name;
  }
}
