/** Puts the guard of a process together from its settings, and keeps its files under watch. */

import type { Clock } from '../clock.ts';
import { Audit } from './audit.ts';
import { Callers } from './callers.ts';
import type { Catalogue } from './catalogue.ts';
import { openKeySet } from './key-set.ts';
import { NO_OBSERVER, type SecurityObserver } from './observer.ts';
import type { Policy } from './policy.ts';
import { readPolicy } from './read-policy.ts';
import { SecurityGuard } from './security-guard.ts';
import { Tokens, type TokenRules } from './tokens.ts';
import { WatchedFile } from './watched-file.ts';

export interface SecuritySettings {
  /** File with the policy. */
  readonly policy?: string | undefined;
  /** File or URL of the keys of tokens. */
  readonly keys?: string | undefined;
  /** Needed with keys. */
  readonly tokens?: TokenRules | undefined;
  readonly audit: 'denied' | 'all';
  /** Whether callers are served over TLS. */
  readonly encrypted: boolean;
  /** Whether they show certificates. */
  readonly certificates: boolean;
}

export interface SecurityPorts {
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  readonly observer?: SecurityObserver | undefined;
  /** Takes audit events, whatever else is logged. */
  audit(message: string, fields: Record<string, unknown>): void;
  info(message: string, fields: Record<string, unknown>): void;
  error(message: string, fields: Record<string, unknown>): void;
}

export interface Security {
  /** Undefined: nothing is set, and every call is taken. */
  readonly guard: SecurityGuard | undefined;
  close(): void;
}

/** Which file or setting is wrong, and how. */
export class SecurityInvalid extends Error {
  override readonly name = 'SecurityInvalid';
}

/** A policy that can't be used is told again after so many looks at its file. */
const TELL_EVERY = 12;

/** @throws SecurityInvalid */
export function openSecurity(settings: SecuritySettings, ports: SecurityPorts): Security {
  const { catalogue, clock, info, error } = ports;
  if (settings.policy === undefined) info('no policy is set (--policy): whoever reaches this server may call everything', {});
  if (settings.policy === undefined && settings.keys === undefined) return { guard: undefined, close: () => undefined };
  const file = settings.policy === undefined ? undefined : attempt('--policy', () => new WatchedFile(settings.policy!, clock));
  const policy = file && attempt('--policy', () => readPolicy(file.path, file.text, catalogue));
  const keys = settings.keys === undefined ? undefined : attempt('--jwt-jwks', () => openKeySet(settings.keys!, { clock, log: error }));
  const tokens = keys && new Tokens(keys, settings.tokens!, clock);
  const audit = new Audit((message, fields) => ports.audit(message, fields), clock);
  const guard = new SecurityGuard({
    catalogue,
    callers: new Callers({ tokens, encrypted: () => settings.encrypted, nowMs: () => clock.nowMs() }),
    audit,
    observer: ports.observer ?? NO_OBSERVER,
    clock,
    policy,
    auditAllowed: settings.audit === 'all',
  });
  if (file !== undefined && policy !== undefined) {
    info('a policy is in force', summary(file, policy));
    if (policy.peers.length === 0) info('the policy names no peers: replicas of this mesh could not call each other', { file: file.path });
    if (!settings.certificates) info('callers show no certificates (--tls-ca): the policy knows them by tokens alone, and replicas not at all', { file: file.path });
    follow(file, catalogue, guard, ports);
  }
  return {
    guard,
    close() {
      file?.close();
      tokens?.close();
      audit.flush();
    },
  };
}

/** A file that is wrong changes nothing: the policy that is in force stays. */
function follow(file: WatchedFile, catalogue: Catalogue, guard: SecurityGuard, { info, error }: SecurityPorts): void {
  let failures = 0;
  file.watch(
    (text) => {
      try {
        const policy = readPolicy(file.path, text, catalogue);
        failures = 0;
        guard.follow(policy);
        info('the policy was read again and is in force', summary(file, policy));
      } catch (thrown) {
        const wrong = thrown instanceof Error ? thrown.message : String(thrown);
        error('THE POLICY HAS CHANGED AND IS WRONG: the one before stays in force', { file: file.path, error: wrong });
      }
    },
    ({ message }) => {
      if (failures++ % TELL_EVERY === 0) error("THE POLICY CAN'T BE READ: the one before stays in force", { file: file.path, error: message });
    },
  );
}

function summary({ path }: WatchedFile, { rules, limits, peers, open }: Policy): Record<string, unknown> {
  return { file: path, rules: rules.length, limits: limits.length, peers, open };
}

function attempt<T>(setting: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new SecurityInvalid(`${setting}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
