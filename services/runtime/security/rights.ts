/** What one caller may do under one policy, compiled so that a check is a few look-ups. */

import { RESOURCE_KINDS, type NamedKind, type ResourceKind } from './access.ts';
import type { Catalogue } from './catalogue.ts';
import { Patterns } from './pattern.ts';
import type { Condition, LimitRule, Policy, Rule, Who } from './policy.ts';
import type { Principal } from './principal.ts';

/** One grant, for one method. */
interface CompiledGrant {
  readonly rule: string;
  readonly patterns: Readonly<Partial<Record<ResourceKind, Patterns>>>;
}

interface CompiledOperations {
  readonly types: Patterns;
  readonly grant: CompiledGrant;
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
  private readonly operations: CompiledOperations[] = [];

  constructor(policy: Policy, principal: Principal, catalogue: Catalogue) {
    this.policy = policy;
    this.isPeer = principal.type === 'certificate' && new Patterns(policy.peers).matches(principal.uri);
    this.limits = this.isPeer ? undefined : policy.limits.find(({ who }) => matcherOf(who)(principal));
    for (const { name, access } of catalogue.entries)
      if ((policy.open as readonly string[]).includes(access.right)) this.grants.set(name, [{ rule: OPEN_RULE, patterns: {} }]);
    for (const { isFor, grants, operations } of compiledRules(policy, catalogue)) {
      if (!isFor(principal)) continue;
      this.operations.push(...operations);
      for (const { method, grant } of grants) {
        const known = this.grants.get(method);
        if (known === undefined) this.grants.set(method, [grant]);
        else known.push(grant);
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


type Matcher = (principal: Principal) => boolean;

/** A rule, with everything in it that is the same for all callers. */
interface CompiledRule {
  readonly isFor: Matcher;
  readonly grants: readonly { readonly method: string; readonly grant: CompiledGrant }[];
  readonly operations: readonly CompiledOperations[];
}

/** For as long as the policy is in use. */
const compiled = new WeakMap<Policy, readonly CompiledRule[]>();

function compiledRules(policy: Policy, catalogue: Catalogue): readonly CompiledRule[] {
  let rules = compiled.get(policy);
  if (rules === undefined) compiled.set(policy, (rules = policy.rules.map((rule) => compile(rule, catalogue))));
  return rules;
}

function compile({ name: rule, who, allow }: Rule, catalogue: Catalogue): CompiledRule {
  const grants: { method: string; grant: CompiledGrant }[] = [];
  const operations: CompiledOperations[] = [];
  for (const each of allow) {
    const patterns: Partial<Record<ResourceKind, Patterns>> = {};
    for (const kind of RESOURCE_KINDS) if (each[kind] !== undefined) patterns[kind] = new Patterns(each[kind]);
    const grant: CompiledGrant = { rule, patterns };
    if (each.operations.length > 0) operations.push({ types: new Patterns(each.operations), grant });
    const methods = new Patterns(each.methods);
    for (const { name, access } of catalogue.entries) {
      const { right } = access;
      if (right === 'peer' || ((right === 'admin' || right === 'participate') && !each.rights.includes(right))) continue;
      if (methods.matches(name)) grants.push({ method: name, grant });
    }
  }
  return { isFor: matcherOf(who), grants, operations };
}

function matcherOf(who: Who): Matcher {
  if (who === 'anybody') return () => true;
  if (who === 'authenticated') return ({ type }) => type !== 'nobody';
  const conditions = who.map(conditionMatcher);
  return (principal) => conditions.some((holds) => holds(principal));
}

function conditionMatcher(condition: Condition): Matcher {
  const certificates = condition.certificates && new Patterns(condition.certificates);
  const subjects = condition.subjects && new Patterns(condition.subjects);
  const claims = Object.entries(condition.claims ?? {}).map(([claim, patterns]) => ({ claim, wanted: new Patterns(patterns) }));
  const isAboutTokens = subjects !== undefined || claims.length > 0;
  return (principal) => {
    switch (principal.type) {
      case 'nobody':
        return false;
      case 'certificate':
        return !isAboutTokens && certificates !== undefined && certificates.matches(principal.uri);
      case 'token':
        // The token is the caller; what its connection may do is not its own.
        if (!isAboutTokens) return false;
        if (certificates !== undefined && (principal.certificate === undefined || !certificates.matches(principal.certificate))) return false;
        if (subjects !== undefined && !subjects.matches(principal.subject)) return false;
        return claims.every(({ claim, wanted }) => textsOf(principal.claims, claim).some((text) => wanted.matches(text)));
    }
  };
}

/** A claim's text, or those in its list. */
function textsOf(claims: Readonly<Record<string, unknown>>, claim: string): string[] {
  const value = Object.hasOwn(claims, claim) ? claims[claim] : undefined;
  return (Array.isArray(value) ? value : [value]).filter((text) => typeof text === 'string');
}
