/** Reads the settings from flags and environment variables; flags win. */

import { RuleBroken } from './rules.ts';
import { COMMANDS, type CommandName, type CommandSettings } from './commands.ts';
import { SETTINGS, type Setting, type SettingName, type Settings } from './table.ts';

/** Names the setting that is wrong, and says what it must be. */
export class SettingError extends Error {}

export type Parsed<T = Settings> =
  | { readonly type: 'help' }
  | { readonly type: 'version' }
  | { readonly type: 'settings'; readonly settings: T };

type Table = Readonly<Record<string, Setting<unknown>>>;
type Environment = Readonly<Record<string, string | undefined>>;

export const variableOf = (flag: string): string => `TXMESH_${flag.toUpperCase().replaceAll('-', '_')}`;

/**
 * The server's.
 * @param args as after the script's name: `--flag value` or `--flag=value`.
 * @throws SettingError for an unknown flag or variable, a missing value, or one that breaks its rule.
 */
export function readSettings(args: readonly string[], environment: Environment): Parsed {
  const parsed = readTable<Settings>(SETTINGS, args, environment);
  return parsed.type === 'settings' ? { type: 'settings', settings: check(parsed.settings) } : parsed;
}

/** A command's: variables of other commands are left alone, since all share an environment. @throws as {@link readSettings} */
export function readCommandSettings<Name extends CommandName>(
  command: Name,
  args: readonly string[],
  environment: Environment,
): Parsed<CommandSettings<Name>> {
  const parsed = readTable<CommandSettings<Name>>(COMMANDS[command].settings, args, environment);
  if (parsed.type === 'settings') checkPairs(ETCD_PAIRS, parsed.settings as Readonly<Record<string, unknown>>);
  return parsed;
}

/** Every variable that some command knows. */
const VARIABLES: ReadonlySet<string> = new Set(
  [SETTINGS, ...Object.values(COMMANDS).map(({ settings }) => settings)].flatMap((table) => Object.values(table).map(({ flag }) => variableOf(flag))),
);

function readTable<T>(table: Table, args: readonly string[], environment: Environment): Parsed<T> {
  const entries = Object.entries(table);
  const given = new Map<string, { value: string; source: string }>();
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('TXMESH_') || value === undefined || IGNORED_VARIABLES.has(name)) continue;
    if (!VARIABLES.has(name)) throw new SettingError(`${name} is not a setting; --help lists them`);
    const found = entries.find(([, { flag }]) => variableOf(flag) === name);
    if (found !== undefined) given.set(found[1].flag, { value, source: name });
  }
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === '--help' || arg === '-h') return { type: 'help' };
    if (arg === '--version' || arg === '-v') return { type: 'version' };
    const [flag, inline] = arg.startsWith('--') ? split(arg.slice(2)) : [undefined, undefined];
    if (flag === undefined || !entries.some(([, setting]) => setting.flag === flag))
      throw new SettingError(`${arg} is not a setting; --help lists them`);
    const value = inline ?? args[++i];
    if (value === undefined) throw new SettingError(`--${flag} needs a value`);
    given.set(flag, { value, source: `--${flag}` });
  }
  const settings: Record<string, unknown> = {};
  for (const [name, { flag, rule, fallback }] of entries) {
    const { value, source } = given.get(flag) ?? { value: fallback, source: `--${flag}` };
    if (value === undefined) continue;
    try {
      settings[name] = rule.parse(value);
    } catch (error) {
      if (!(error instanceof RuleBroken)) throw error;
      const shown = flag.includes('password') ? '' : `, not ${JSON.stringify(value)}`;
      throw new SettingError(`${source} ${error.message}${shown}`);
    }
  }
  return { type: 'settings', settings: settings as T };
}

/** Read by tools around the server. */
const IGNORED_VARIABLES = new Set(['TXMESH_CACHE_DIR']);

function split(arg: string): [string, string | undefined] {
  const at = arg.indexOf('=');
  return at < 0 ? [arg, undefined] : [arg.slice(0, at), arg.slice(at + 1)];
}

type Pair = readonly [a: SettingName, b: SettingName];
const ETCD_PAIRS: readonly Pair[] = [['etcdUser', 'etcdPassword'], ['etcdCert', 'etcdKey']];

function checkPairs(pairs: readonly Pair[], settings: Readonly<Record<string, unknown>>): void {
  for (const [a, b] of pairs)
    if ((settings[a] === undefined) !== (settings[b] === undefined))
      throw new SettingError(`--${SETTINGS[a].flag} and --${SETTINGS[b].flag} go together; one of them is missing`);
}

function check(settings: Settings): Settings {
  checkPairs([...ETCD_PAIRS, ['tlsCert', 'tlsKey']], settings);
  if (settings.tlsCa !== undefined && settings.tlsCert === undefined) throw new SettingError('--tls-ca needs --tls-cert and --tls-key');
  if (settings.tlsClients === 'optional' && (settings.tlsCa === undefined || settings.policy === undefined))
    throw new SettingError('--tls-clients optional needs --tls-ca, to know replicas by, and --policy: without one, everybody could do everything');
  if (settings.jwtJwks !== undefined && (settings.jwtIssuer === undefined || settings.jwtAudience === undefined))
    throw new SettingError('--jwt-jwks needs --jwt-issuer and --jwt-audience: a token of another issuer, or meant for others, must not do');
  if (settings.jwtJwks === undefined && (settings.jwtIssuer !== undefined || settings.jwtAudience !== undefined))
    throw new SettingError('--jwt-issuer and --jwt-audience need --jwt-jwks');
  if (settings.jwtAlgorithms.length === 0) throw new SettingError('--jwt-algorithms names none');
  if (settings.healthPort === settings.port) throw new SettingError('--health-port and --port are the same; health is told on --port in any case');
  if (settings.metricsPort !== 0) {
    for (const [flag, port] of [['port', settings.port], ['health-port', settings.healthPort]] as const)
      if (settings.metricsPort === port) throw new SettingError(`--metrics-port and --${flag} are the same; metrics need a port of their own`);
  }
  const names = [...settings.participants, ...settings.queues, ...settings.counters];
  if (settings.coordinator === 'false' && names.length === 0)
    throw new SettingError('--coordinator false with no --participants, --queues and --counters leaves nothing to run');
  if (names.includes('coordinator')) throw new SettingError('--participants, --queues and --counters: "coordinator" is the name of the coordinator itself');
  if (new Set(names).size < names.length) throw new SettingError('--participants, --queues and --counters name one twice');
  return settings;
}

/** The settings as a table, for --help. */
export function helpText(usage: string, table: Table = SETTINGS): string {
  const rows = Object.values(table).map(({ flag, rule, fallback, help }) => {
    const shown = fallback === undefined ? '' : ` [${fallback}]`;
    return `  --${flag} <${rule.form}>${shown}\n      ${help}\n      ${variableOf(flag)}`;
  });
  return `${usage}\n\nSettings, as flags or environment variables (flags win):\n\n${rows.join('\n')}\n\n  --help, --version\n`;
}
