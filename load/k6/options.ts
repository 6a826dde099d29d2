/** What `npm run load` is asked to do. */

import { parseArgs } from 'node:util';
import { PROFILES } from './profiles/all.ts';
import { secondsOf } from './profiles/profile.ts';

/** Every workload, and what it does. */
export const WORKLOADS: Readonly<Record<string, string>> = {
  transactions: 'money that moves between two participants',
  queue: 'messages that are published, delivered and acknowledged',
  counter: 'adds to a counter of each kind',
  mixed: 'orders: stock, money, a message and a counter in one transaction, and a consumer that bills them',
};

const MOST_OPERATIONS = 100_000;
const MOST_VUS = 10_000;
const LONGEST_S = 7 * 24 * 3600;
const LARGEST_BYTES = 1_000_000;

interface Flag {
  readonly help: string;
  /** What follows it; nothing follows a switch. */
  readonly value?: string;
  /** The variable of the script that it sets. */
  readonly variable?: string;
  check?(value: string): void;
}

const FLAGS = {
  address: { value: 'host:port', variable: 'MESH_ADDRESS', help: 'the mesh, or several of its servers, separated by commas; default 127.0.0.1:50051' },
  start: { help: 'start a server for the run instead, with data of its own' },
  rate: { value: 'N', variable: 'RATE', help: 'operations a second at the highest', check: number(1, MOST_OPERATIONS, true) },
  duration: { value: 'TIME', variable: 'DURATION', help: 'how long all stages take together, like 20s, 2m or 1h', check: boundedDuration },
  'max-vus': { value: 'N', variable: 'MAX_VUS', help: 'most operations of each flow at a time, and so connections, of 5 MB each; default twice the rate, from 50 to 300', check: number(1, MOST_VUS, true) },
  keys: { value: 'N', variable: 'KEYS', help: 'accounts, items or ordering keys: fewer make more conflicts; default 200', check: number(1, MOST_OPERATIONS, true) },
  size: { value: 'BYTES', variable: 'SIZE', help: 'of the data of each message of the workload queue; default 100', check: number(1, LARGEST_BYTES, true) },
  p95: { value: 'MS', variable: 'P95', help: 'limit: 95 of 100 operations take less', check: number(1, 3_600_000) },
  p99: { value: 'MS', variable: 'P99', help: 'limit: 99 of 100 operations take less', check: number(1, 3_600_000) },
  failed: { value: 'SHARE', variable: 'FAILED', help: 'limit: share of operations, 0 to 1, that may end without a known result', check: number(0, 1) },
  dropped: { value: 'SHARE', variable: 'DROPPED', help: 'limit: share of operations, 0 to 1, that may be left out because too many are under way', check: number(0, 1) },
  ca: { value: 'FILE', variable: 'MESH_CA', help: 'speak TLS; the authority that the mesh is checked against (PEM)' },
  cert: { value: 'FILE', variable: 'MESH_CERT', help: 'certificate to show (PEM)' },
  key: { value: 'FILE', variable: 'MESH_KEY', help: 'its key (PEM)' },
  'token-file': { value: 'FILE', variable: 'MESH_TOKEN_FILE', help: 'a token (JWT) to send with every call' },
  telemetry: { value: 'host:port', help: 'an OpenTelemetry collector that gets the metrics (OTLP over gRPC, plain text)' },
  summary: { value: 'FILE', help: 'where the summary goes (JSON); default .cache/load/PROFILE-WORKLOAD.json' },
  help: { help: 'this text' },
} as const satisfies Record<string, Flag>;

type FlagName = keyof typeof FLAGS;
/** Paths, which the script must not take for its own. */
export const FILE_FLAGS: readonly FlagName[] = ['ca', 'cert', 'key', 'token-file'];

export interface LoadOptions {
  readonly profile: string;
  readonly workload: string;
  readonly values: Readonly<Partial<Record<FlagName, string | boolean>>>;
  /** For k6 itself. */
  readonly more: readonly string[];
}

/** Says what is wrong with the command. */
export class UsageError extends Error {}

/** @returns undefined where the help is wanted. @throws UsageError */
export function readOptions(args: readonly string[]): LoadOptions | undefined {
  const split = args.indexOf('--');
  const [own, more] = split === -1 ? [args, []] : [args.slice(0, split), args.slice(split + 1)];
  const flags = Object.entries(FLAGS).map(([name, flag]) => [name, { type: 'value' in flag ? ('string' as const) : ('boolean' as const) }]);
  let parsed;
  try {
    parsed = parseArgs({ args: [...own], allowPositionals: true, options: Object.fromEntries(flags) as Record<string, { type: 'string' }> });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
  const values = parsed.values as LoadOptions['values'];
  if (values.help === true) return undefined;
  const [profile = '', workload = 'transactions', ...others] = parsed.positionals;
  if (PROFILES[profile] === undefined) throw new UsageError(`${profile === '' ? 'a profile is missing' : `"${profile}" is no profile`}: one of ${Object.keys(PROFILES).join(', ')}`);
  if (WORKLOADS[workload] === undefined) throw new UsageError(`"${workload}" is no workload: one of ${Object.keys(WORKLOADS).join(', ')}`);
  if (others.length > 0) throw new UsageError(`"${others[0]}" is too much: a profile, a workload, and flags; what follows -- goes to k6`);
  for (const [name, value] of Object.entries(values)) {
    const { check } = FLAGS[name as FlagName] as Flag;
    try {
      check?.(String(value));
    } catch (error) {
      throw new UsageError(`--${name} ${(error as Error).message}`, { cause: error });
    }
  }
  if (values.start && values.address !== undefined) throw new UsageError('--start and --address exclude one another');
  if ((values.cert === undefined) !== (values.key === undefined)) throw new UsageError('--cert and --key go together; one of them is missing');
  if (values.cert !== undefined && values.ca === undefined) throw new UsageError('--cert needs --ca');
  return { profile, workload, values, more };
}

/** What the script reads of the flags. */
export function variablesOf(values: LoadOptions['values']): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    const { variable } = FLAGS[name as FlagName] as Flag;
    if (variable !== undefined) variables[variable] = String(value);
  }
  return variables;
}

export function helpText(): string {
  const row = (name: string, text: string): string => `  ${name.padEnd(14)} ${text}`;
  return [
    'Usage: npm run load -- PROFILE [WORKLOAD] [FLAG …] [-- FLAG OF K6 …]',
    '',
    'Puts load on a mesh with k6, and looks afterwards whether every total is exact.',
    '',
    'Profiles:',
    ...Object.entries(PROFILES).map(([name, { about, rate, duration }]) => row(name, `${about} [${rate}/s, ${duration}]`)),
    '',
    'Workloads:',
    ...Object.entries(WORKLOADS).map(([name, about]) => row(name, about)),
    '',
    'Flags:',
    ...Object.entries(FLAGS as Record<string, Flag>).flatMap(([name, { value, help }]) => [`  --${name}${value === undefined ? '' : ` ${value}`}`, `      ${help}`]),
  ].join('\n');
}

function number(least: number, most: number, isWhole = false) {
  return (value: string): void => {
    const parsed = Number(value);
    if (value.trim() === '' || !(parsed >= least && parsed <= most) || (isWhole && !Number.isInteger(parsed)))
      throw new Error(`must be a ${isWhole ? 'whole ' : ''}number from ${least} to ${most}, and not "${value}"`);
  };
}

function boundedDuration(value: string): void {
  if (secondsOf(value) > LONGEST_S) throw new Error(`must be at most 168h, and not "${value}"`);
}
