/** From the text of a policy's file to the policy. Every mistake is named with its line. */

import type { Node } from 'yaml';
import { RESOURCE_KINDS, type ResourceKind } from './access.ts';
import type { Catalogue, MethodEntry } from './catalogue.ts';
import { isPattern, Patterns } from './pattern.ts';
import type { CallerLimits, Condition, Grant, GrantedRight, LimitRule, Policy, Rule, Who } from './policy.ts';
import { YamlFile } from './yaml-reader.ts';

const MOST = { rules: 1_000, grants: 200, patterns: 1_000, limits: 200, conditions: 200 };
const RIGHTS: readonly GrantedRight[] = ['admin', 'participate'];
const OPEN = ['health', 'reflection'] as const;

/**
 * @param file for messages
 * @param catalogue the methods that there are: a rule for one that there is not is a mistake
 * @throws FileInvalid
 */
export function readPolicy(file: string, text: string, catalogue: Catalogue): Policy {
  return new PolicyReader(new YamlFile(file, text), catalogue).read();
}

class PolicyReader {
  private readonly yaml: YamlFile;
  private readonly methods: readonly MethodEntry[];

  constructor(yaml: YamlFile, catalogue: Catalogue) {
    this.yaml = yaml;
    this.methods = catalogue.entries;
  }

  read(): Policy {
    const { yaml } = this;
    const fields = yaml.fields(yaml.root, '', ['peers', 'open', 'rules', 'limits']) ?? new Map<string, Node>();
    const policy: Policy = {
      peers: this.patterns(fields.get('peers'), 'peers', 'spiffe://'),
      open: this.choices(fields.get('open'), 'open', OPEN),
      rules: yaml.list(fields.get('rules'), 'rules', MOST.rules).map((node, i) => this.rule(node, `rules[${i}]`)),
      limits: yaml.list(fields.get('limits'), 'limits', MOST.limits).map((node, i) => this.limit(node, `limits[${i}]`)),
    };
    for (const [list, all] of Object.entries({ rules: policy.rules, limits: policy.limits })) {
      const names = all.map(({ name }) => name);
      const twice = names.find((name, i) => names.indexOf(name) !== i);
      if (twice !== undefined) yaml.add(fields.get(list), `two of the ${list} have the name "${twice}", by which logs tell them`);
    }
    yaml.check();
    return policy;
  }

  private rule(node: Node, path: string): Rule {
    const { yaml } = this;
    const fields = yaml.fields(node, path, ['name', 'who', 'allow']) ?? new Map<string, Node>();
    const allow = yaml.list(this.required(fields, 'allow', node, path), `${path}.allow`, MOST.grants);
    return {
      name: this.name(fields, node, path),
      who: this.who(fields, node, path),
      allow: allow.map((grant, i) => this.grant(grant, `${path}.allow[${i}]`)),
    };
  }

  private name(fields: Map<string, Node>, node: Node, path: string): string {
    return this.yaml.text(this.required(fields, 'name', node, path) ?? null, `${path}.name`) ?? '';
  }

  private required(fields: Map<string, Node>, field: string, node: Node, path: string): Node | undefined {
    const found = fields.get(field);
    if (found === undefined) this.yaml.add(node, `${path}.${field} is missing`);
    return found;
  }

  private who(fields: Map<string, Node>, node: Node, path: string): Who {
    const { yaml } = this;
    const found = this.required(fields, 'who', node, path);
    if (found === undefined) return [];
    const word = yaml.scalar(found);
    if (word === 'anybody' || word === 'authenticated') return word;
    if (word !== undefined) {
      yaml.add(found, `${path}.who must be anybody, authenticated, or a list of conditions`);
      return [];
    }
    const conditions = yaml.list(found, `${path}.who`, MOST.conditions);
    if (conditions.length === 0) yaml.add(found, `${path}.who must name somebody`);
    return conditions.map((condition, i) => this.condition(condition, `${path}.who[${i}]`));
  }

  private condition(node: Node, path: string): Condition {
    const { yaml } = this;
    const fields = yaml.fields(node, path, ['certificates', 'subjects', 'groups', 'claims']) ?? new Map<string, Node>();
    if (fields.size === 0) yaml.add(node, `${path} must say something; for whoever has shown who it is, write who: authenticated`);
    const claims: Record<string, readonly string[]> = {};
    if (fields.has('claims'))
      for (const [claim, patterns] of yaml.map(fields.get('claims'), `${path}.claims`) ?? [])
        claims[claim] = this.patterns(patterns, `${path}.claims.${claim}`);
    if (fields.has('groups')) claims['groups'] = [...(claims['groups'] ?? []), ...this.patterns(fields.get('groups'), `${path}.groups`)];
    return {
      ...(fields.has('certificates') && { certificates: this.patterns(fields.get('certificates'), `${path}.certificates`, 'spiffe://') }),
      ...(fields.has('subjects') && { subjects: this.patterns(fields.get('subjects'), `${path}.subjects`) }),
      ...(Object.keys(claims).length > 0 && { claims }),
    };
  }

  private grant(node: Node, path: string): Grant {
    const { yaml } = this;
    const fields = yaml.fields(node, path, ['methods', 'operations', 'rights', ...RESOURCE_KINDS]) ?? new Map<string, Node>();
    const grant: Record<string, readonly string[]> = {};
    for (const kind of RESOURCE_KINDS) if (fields.has(kind)) grant[kind] = this.patterns(fields.get(kind), `${path}.${kind}`);
    const result: Grant = {
      ...grant,
      methods: this.patterns(fields.get('methods'), `${path}.methods`),
      operations: this.patterns(fields.get('operations'), `${path}.operations`),
      rights: this.choices(fields.get('rights'), `${path}.rights`, RIGHTS),
    };
    if (result.methods.length === 0 && result.operations.length === 0) yaml.add(node, `${path} must name methods, or operations of participants outside of the mesh`);
    if (result.operations.length > 0 && result.participants === undefined) yaml.add(node, `${path}: operations are about participants; name them, "*" for all`);
    for (const pattern of result.methods) this.checkMethods(fields.get('methods')!, path, pattern, result);
    return result;
  }

  /** A grant that can't allow anything is a mistake of whoever wrote it. */
  private checkMethods(node: Node, path: string, pattern: string, grant: Grant): void {
    const matching = this.methods.filter(({ name }) => new Patterns([pattern]).matches(name));
    if (matching.length === 0) return this.yaml.add(node, `${path}.methods: no method matches "${pattern}"; methods are written as KeyValueService/Get`);
    if (pattern.endsWith('*')) return;
    const [{ access }] = matching as [MethodEntry];
    if (access.right === 'peer') return this.yaml.add(node, `${path}.methods: only replicas may call ${pattern}, which peers names`);
    if ((access.right === 'admin' || access.right === 'participate') && !grant.rights.includes(access.right))
      this.yaml.add(node, `${path}.methods: ${pattern} needs a right of its own; write rights: [${access.right}]`);
    const missing = access.about.filter((kind: ResourceKind) => grant[kind] === undefined);
    if (missing.length > 0) this.yaml.add(node, `${path}.methods: ${pattern} is about ${missing.join(' and ')}; name them, "*" for all`);
  }

  private limit(node: Node, path: string): LimitRule {
    const { yaml } = this;
    const fields = yaml.fields(node, path, ['name', 'who', 'in_flight', 'calls_per_second', 'bytes_per_second']) ?? new Map<string, Node>();
    const numbers: { -readonly [K in keyof CallerLimits]: number } = {};
    for (const [field, key] of [['in_flight', 'inFlight'], ['calls_per_second', 'callsPerSecond'], ['bytes_per_second', 'bytesPerSecond']] as const) {
      if (!fields.has(field)) continue;
      const value = yaml.scalar(fields.get(field));
      if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) numbers[key] = value;
      else yaml.add(fields.get(field), `${path}.${field} must be a whole number above 0`);
    }
    if (Object.keys(numbers).length === 0) yaml.add(node, `${path} must limit in_flight, calls_per_second or bytes_per_second`);
    return { name: this.name(fields, node, path), who: this.who(fields, node, path), ...numbers };
  }

  private patterns(node: Node | undefined, path: string, start = ''): readonly string[] {
    const { yaml } = this;
    if (node === undefined) return [];
    const found: string[] = [];
    const nodes = yaml.list(node, path, MOST.patterns);
    if (nodes.length === 0) yaml.add(node, `${path} must not be empty`);
    nodes.forEach((each, i) => {
      const text = yaml.text(each, `${path}[${i}]`);
      if (text === undefined) return;
      if (!isPattern(text)) yaml.add(each, `${path}[${i}] must be a text, with a * at its end or none at all`);
      else if (!text.startsWith(start)) yaml.add(each, `${path}[${i}] must begin with ${start}`);
      else found.push(text);
    });
    return found;
  }

  private choices<const T extends string>(node: Node | undefined, path: string, choices: readonly T[]): readonly T[] {
    const { yaml } = this;
    return yaml.list(node, path, choices.length).flatMap((each) => {
      const value = yaml.scalar(each);
      if ((choices as readonly unknown[]).includes(value)) return [value as T];
      yaml.add(each, `${path} may have ${choices.join(' and ')}`);
      return [];
    });
  }
}
