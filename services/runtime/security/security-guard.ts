/**
 * The guard of a server: it finds out who calls, holds every call against the policy that is in force, and
 * counts what each caller takes. A call that another replica forwards was decided where it came in.
 */

import type { Failure } from '../../kernel/failure.ts';
import type { Clock } from '../clock.ts';
import type { ServerCall } from '../transport/context.ts';
import { Refused, type Door, type Guard, type Visit } from '../transport/guard.ts';
import { FORWARDED_HEADER } from '../transport/service.ts';
import type { Judge } from './access.ts';
import { cut, type Audit } from './audit.ts';
import { BoundedMap } from './bounded-map.ts';
import { nameOf, type Catalogue, type MethodEntry } from './catalogue.ts';
import type { Caller, Callers } from './callers.ts';
import { RightsJudge, type Denial } from './judge.ts';
import { Limits, TOO_MANY_CALLERS, type Exceeded } from './limits.ts';
import type { AdmissionRefusal, SecurityObserver } from './observer.ts';
import type { Policy } from './policy.ts';
import { describe, type Principal } from './principal.ts';
import { Rights } from './rights.ts';
import { GuardedVisit, type OpenVisit, PeerVisit, type Visited } from './visit.ts';

export interface SecurityGuardOptions {
  readonly catalogue: Catalogue;
  readonly callers: Callers;
  readonly audit: Audit;
  readonly observer: SecurityObserver;
  readonly clock: Clock;
  /** Absent: whoever is not refused for its token may call everything. */
  readonly policy?: Policy | undefined;
  /** Whether calls that need no right of their own are audited when they are allowed. */
  readonly auditAllowed?: boolean;
}

/** Certificates' rights that are remembered. */
const MOST_RIGHTS = 1_000;

export class SecurityGuard implements Guard, Visited {
  readonly clock: Clock;
  private readonly options: SecurityGuardOptions;
  private readonly limits: Limits;
  /** By SPIFFE id; '': of nobody. */
  private readonly rights = new BoundedMap<string, Rights>(MOST_RIGHTS);
  private readonly judgeOfRights: RightsJudge;
  private readonly open = new Set<OpenVisit>();
  private policy: Policy | undefined;

  constructor(options: SecurityGuardOptions) {
    this.options = options;
    this.clock = options.clock;
    this.policy = options.policy;
    this.limits = new Limits(options.clock);
    const administration = new Set(options.catalogue.entries.filter(({ access }) => access.right === 'admin').map(({ name }) => name));
    this.judgeOfRights = new RightsJudge((method) => administration.has(method));
  }

  of(path: string): Door {
    // What has no entry, only replicas may call.
    const entry: MethodEntry = this.options.catalogue.methods.get(path) ?? { path, name: nameOf(path), access: { right: 'peer', about: [] } };
    return {
      admit: (call) => {
        const caller = this.options.callers.of(call);
        return caller instanceof Promise ? caller.then((late) => this.admit(entry, late, call)) : this.admit(entry, caller, call);
      },
    };
  }

  /** Puts another policy in force, for the streams that are open too. */
  follow(policy: Policy): void {
    this.policy = policy;
    this.rights.clear();
    for (const visit of [...this.open]) visit.reconsider();
  }

  /** Compiled once for each policy; connections of one certificate share it. */
  private rightsOf(caller: Caller, policy: Policy): Rights {
    if (caller.rights?.policy === policy) return caller.rights;
    const { principal } = caller;
    // A token's are its own, and remembered with it.
    const key = principal.type === 'token' ? undefined : principal.type === 'nobody' ? '' : principal.uri;
    let rights = key === undefined ? undefined : this.rights.get(key);
    if (rights?.policy !== policy) {
      rights = new Rights(policy, principal, this.options.catalogue);
      if (key !== undefined) this.rights.set(key, rights);
    }
    return (caller.rights = rights);
  }

  private admit(entry: MethodEntry, caller: Caller | Failure, call: ServerCall): Visit | Refused {
    if ('reason' in caller) return this.unknown(entry, caller, call);
    const { policy } = this;
    if (policy === undefined) return new GuardedVisit(this, entry, caller, call, undefined);
    const rights = this.rightsOf(caller, policy);
    // Whatever a replica does for itself, or has decided about for others, is not limited either.
    if (rights.isPeer) {
      this.options.observer.decided('allowed');
      return new PeerVisit(this, caller);
    }
    if (call.metadata.get(FORWARDED_HEADER).length > 0) return new Refused(this.deny(entry, caller, call, { method: FORWARDING }));
    const rule = rights.ruleForMethod(entry.name);
    if (rule === undefined) return new Refused(this.deny(entry, caller, call, { method: entry.name }));
    if (rights.limits === undefined) return this.allowed(new GuardedVisit(this, entry, caller, call, undefined), rule);
    const meter = this.limits.meterOf(`${caller.account} ${rights.limits.name}`, rights.limits);
    const refusal = meter === undefined ? TOO_MANY_CALLERS : meter.enter();
    if (refusal !== undefined) {
      this.limited(refusal);
      return new Refused(refusal);
    }
    return this.allowed(new GuardedVisit(this, entry, caller, call, meter), rule);
  }

  private allowed(visit: GuardedVisit, rule: string): Visit {
    // Those with requests of their own are told of when these are judged.
    if (visit.entry.access.judge === undefined) this.tell(visit, rule);
    return visit;
  }

  judge({ caller, entry, call }: GuardedVisit, needs: (judge: Judge) => void): Failure | undefined {
    const { policy } = this;
    if (policy === undefined) return undefined;
    const rights = this.rightsOf(caller, policy);
    const judge = this.judgeOfRights.begin(rights, entry.name);
    needs(judge);
    const { denial, failure } = judge;
    if (failure !== undefined) return failure;
    if (denial !== undefined) return this.deny(entry, caller, call, denial);
    for (const { method, rule, resource } of judge.carried)
      this.options.audit.record({ decision: 'allowed', caller: caller.principal, call, method, resource, rule });
    if (entry.access.judge === undefined) return undefined;
    const rule = judge.rule ?? rights.ruleForMethod(entry.name);
    if (rule === undefined) return this.deny(entry, caller, call, { method: entry.name });
    this.tell({ caller, entry, call }, rule, judge);
    return undefined;
  }

  judgeMethod({ caller, entry, call }: GuardedVisit): Failure | undefined {
    const { policy } = this;
    if (policy === undefined) return undefined;
    const rights = this.rightsOf(caller, policy);
    return rights.ruleForMethod(entry.name) === undefined ? this.deny(entry, caller, call, { method: entry.name }) : undefined;
  }

  /** Whether the caller is a replica, as when its stream began. */
  isPeer(caller: Caller): boolean {
    return this.policy === undefined || this.rightsOf(caller, this.policy).isPeer;
  }

  opened(visit: OpenVisit): void {
    this.open.add(visit);
  }

  closed(visit: OpenVisit): void {
    this.open.delete(visit);
  }

  limited({ metadata }: Failure): void {
    this.options.observer.refused((metadata?.['limit'] as Exceeded | undefined) ?? ('callers' satisfies AdmissionRefusal));
  }

  private tell({ caller, entry, call }: Pick<GuardedVisit, 'caller' | 'entry' | 'call'>, rule: string, judge?: RightsJudge): void {
    const { observer, audit, auditAllowed } = this.options;
    observer.decided('allowed');
    const { right } = entry.access;
    if (auditAllowed || right === 'admin' || right === 'participate')
      audit.record({ decision: 'allowed', caller: caller.principal, call, method: entry.name, resource: judge?.resource, rule });
  }

  /** The token, or what should be one, names nobody. */
  private unknown(entry: MethodEntry, failure: Failure, call: ServerCall): Refused {
    const { observer, audit } = this.options;
    // That its issuer can't be reached, or that too much is going on, decides nothing about a caller.
    if (failure.retryAfterMs === undefined) {
      observer.decided('denied');
      audit.record({ decision: 'denied', caller: undefined, call, method: entry.name, reason: failure.reason });
    }
    return new Refused(failure);
  }

  private deny(entry: MethodEntry, { principal }: Caller, call: ServerCall, denial: Denial): Failure {
    const { observer, audit } = this.options;
    const failure = denied(principal, denial);
    observer.decided('denied');
    audit.record({ decision: 'denied', caller: principal, call, method: denial.method === FORWARDING ? entry.name : denial.method, resource: denial.resource, reason: failure.reason });
    return failure;
  }
}

const FORWARDING = 'forwarding';

function denied(principal: Principal, { method, resource }: Denial): Failure {
  if (method === FORWARDING)
    return { reason: 'PERMISSION_DENIED', message: `${cut(describe(principal))} is no replica of the mesh, and only they forward calls: leave the metadata txmesh-forwarded out` };
  const about = resource === undefined ? '' : ` on ${resource.name === '' ? '' : `${resource.kind}/${cut(resource.name)} of `}${cut(resource.participant)}`;
  const metadata = {
    method,
    ...(resource !== undefined && { participant: cut(resource.participant), ...(resource.name !== '' && { resource: `${resource.kind}/${cut(resource.name)}` }) }),
  };
  if (principal.type === 'nobody')
    return { reason: 'NOT_AUTHENTICATED', message: `${method}${about} is not for everybody: show a certificate of the mesh's authority with a SPIFFE id, or a token`, metadata };
  return { reason: 'PERMISSION_DENIED', message: `no rule of the policy lets ${cut(describe(principal))} call ${method}${about}`, metadata };
}
