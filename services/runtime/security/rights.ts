/** What one caller may do under one policy, compiled so that a check is a few look-ups. */

import type { NamedKind, ResourceKind } from './access.ts';
import type { Catalogue } from './catalogue.ts';
import { Patterns } from './pattern.ts';
import { NAMED_KINDS, type Condition, type LimitRule, type Policy, type Who } from './policy.ts';
import type { Principal } from './principal.ts';

/** One grant, for one method. */
interface CompiledGrant {
  readonly rule: string;
  readonly patterns: Readonly<Partial<Record<ResourceKind, Patterns>>>;
}

const NONE: readonly CompiledGrant[] = [];
/** The name that audit events give to what the policy opens to anybody. */
const OPEN_RULE = 'open';

export class Rights {
  readonly policy: Policy;
  /** A replica of the mesh: nothing is asked of it. */
  readonly isPeer: boolean;
  /** The first of the policy's that fits; none for peers. */
  readonly limits: LimitRule | undefined;
  private readonly grants = new Map<string, CompiledGrant[]>();
  private readonly operations: { readonly types: Patterns; readonly grant: CompiledGrant }[] = [];

  constructor(policy: Policy, principal: Principal, catalogue: Catalogue) {
    this.policy = policy;
    this.isPeer = principal.type === 'certificate' && new Patterns(policy.peers).matches(principal.uri);
    this.limits = this.isPeer ? undefined : policy.limits.find(({ who }) => isFor(who, principal));
    for (const { name, access } of catalogue.entries)
      if ((policy.open as readonly string[]).includes(access.right)) this.grants.set(name, [{ rule: OPEN_RULE, patterns: {} }]);
    for (const rule of policy.rules) {
      if (!isFor(rule.who, principal)) continue;
      for (const grant of rule.allow) {
        const patterns: Partial<Record<ResourceKind, Patterns>> = {};
        for (const kind of ['participants', ...NAMED_KINDS] as const) if (grant[kind] !== undefined) patterns[kind] = new Patterns(grant[kind]);
        const compiled: CompiledGrant = { rule: rule.name, patterns };
        if (grant.operations.length > 0) this.operations.push({ types: new Patterns(grant.operations), grant: compiled });
        const methods = new Patterns(grant.methods);
        for (const { name, access } of catalogue.entries) {
          const { right } = access;
          if (right === 'peer' || ((right === 'admin' || right === 'participate') && !grant.rights.includes(right))) continue;
          if (!methods.matches(name)) continue;
          const known = this.grants.get(name);
          if (known === undefined) this.grants.set(name, [compiled]);
          else known.push(compiled);
        }
      }
    }
  }

  /** The rule that lets it call the method at all; what the request is about comes after. */
  ruleForMethod(method: string): string | undefined {
    return this.grants.get(method)?.[0]?.rule;
  }

  ruleForParticipant(method: string, participant: string): string | undefined {
    for (const { rule, patterns } of this.grants.get(method) ?? NONE) if (patterns.participants?.matches(participant)) return rule;
    return undefined;
  }

  ruleForResource(method: string, kind: NamedKind, participant: string, name: string): string | undefined {
    for (const { rule, patterns } of this.grants.get(method) ?? NONE)
      if (patterns[kind]?.matches(name) && patterns.participants?.matches(participant)) return rule;
    return undefined;
  }

  /** As {@link ruleForResource}, of every name that begins so. */
  ruleForAll(method: string, kind: NamedKind, participant: string, prefix: string): string | undefined {
    for (const { rule, patterns } of this.grants.get(method) ?? NONE)
      if (patterns[kind]?.matchesAll(prefix) && patterns.participants?.matches(participant)) return rule;
    return undefined;
  }

  ruleForOperation(type: string, participant: string): string | undefined {
    for (const { types, grant } of this.operations) if (types.matches(type) && grant.patterns.participants?.matches(participant)) return grant.rule;
    return undefined;
  }
}


function isFor(who: Who, principal: Principal): boolean {
  if (who === 'anybody') return true;
  if (who === 'authenticated') return principal.type !== 'nobody';
  return who.some((condition) => holds(condition, principal));
}

function holds({ certificates, subjects, claims }: Condition, principal: Principal): boolean {
  switch (principal.type) {
    case 'nobody':
      return false;
    case 'certificate':
      return subjects === undefined && claims === undefined && certificates !== undefined && new Patterns(certificates).matches(principal.uri);
    case 'token': {
      // The token is the caller; what its connection may do is not its own.
      if (subjects === undefined && claims === undefined) return false;
      if (certificates !== undefined && (principal.certificate === undefined || !new Patterns(certificates).matches(principal.certificate))) return false;
      if (subjects !== undefined && !new Patterns(subjects).matches(principal.subject)) return false;
      return Object.entries(claims ?? {}).every(([claim, patterns]) => {
        const value = Object.hasOwn(principal.claims, claim) ? principal.claims[claim] : undefined;
        const texts = Array.isArray(value) ? value : [value];
        const wanted = new Patterns(patterns);
        return texts.some((text) => typeof text === 'string' && wanted.matches(text));
      });
    }
  }
}
