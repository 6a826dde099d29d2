/** The tables of docs/settings.md: every setting, with what of a server it is about. */

import { COMMANDS } from '../../services/settings/commands.ts';
import { variableOf } from '../../services/settings/read.ts';
import { SETTINGS, type Setting, type SettingName } from '../../services/settings/table.ts';
import { table } from './markdown.ts';

/** The table that a setting stands in, and who uses it: the whole server or some of the services in it. */
type Place = readonly [group: Group, users: Users];
type Group = 'What runs' | 'Addresses' | 'The store' | 'Time and space' | 'TLS' | 'Who may call' | 'Development and logs';
type Users = 'server' | 'embedded store' | 'etcd' | 'every service' | 'coordinator' | 'keys' | 'queues' | 'counters';

const PLACES: Readonly<Record<SettingName, Place>> = {
  coordinator: ['What runs', 'coordinator'],
  participants: ['What runs', 'keys'],
  queues: ['What runs', 'queues'],
  counters: ['What runs', 'counters'],
  counterPeers: ['What runs', 'counters'],
  partitions: ['What runs', 'every service'],
  host: ['Addresses', 'server'],
  port: ['Addresses', 'server'],
  advertise: ['Addresses', 'server'],
  healthPort: ['Addresses', 'server'],
  metricsPort: ['Addresses', 'server'],
  metricsHost: ['Addresses', 'server'],
  store: ['The store', 'server'],
  dataDir: ['The store', 'embedded store'],
  etcdEndpoints: ['The store', 'etcd'],
  etcdPrefix: ['The store', 'etcd'],
  etcdUser: ['The store', 'etcd'],
  etcdPassword: ['The store', 'etcd'],
  etcdCa: ['The store', 'etcd'],
  etcdCert: ['The store', 'etcd'],
  etcdKey: ['The store', 'etcd'],
  etcdQuota: ['The store', 'etcd'],
  etcdWait: ['The store', 'etcd'],
  lease: ['Time and space', 'every service'],
  retention: ['Time and space', 'every service'],
  history: ['Time and space', 'keys'],
  maxMessage: ['Time and space', 'server'],
  maxRequests: ['Time and space', 'server'],
  maxConnectionAge: ['Time and space', 'server'],
  connectionGrace: ['Time and space', 'server'],
  drain: ['Time and space', 'server'],
  tlsCert: ['TLS', 'server'],
  tlsKey: ['TLS', 'server'],
  tlsCa: ['TLS', 'server'],
  tlsClients: ['TLS', 'server'],
  certificatePoll: ['TLS', 'server'],
  policy: ['Who may call', 'server'],
  jwtJwks: ['Who may call', 'server'],
  jwtIssuer: ['Who may call', 'server'],
  jwtAudience: ['Who may call', 'server'],
  jwtAlgorithms: ['Who may call', 'server'],
  jwtLeeway: ['Who may call', 'server'],
  audit: ['Who may call', 'server'],
  faultInjection: ['Development and logs', 'server'],
  logLevel: ['Development and logs', 'server'],
};

const HEADS = ['flag', 'variable', 'values', 'default', 'used by', 'meaning'];

function row({ flag, rule, fallback, help }: Setting<unknown>, users: string): string[] {
  const shown = fallback === undefined ? '—' : fallback === '' ? 'empty' : `\`${fallback}\``;
  return [`\`--${flag}\``, `\`${variableOf(flag)}\``, rule.form, shown, users, help];
}

/** By the name of the table. */
export function settingTables(): Record<string, string> {
  const groups = new Map<string, string[][]>();
  for (const [name, [group, users]] of Object.entries(PLACES)) {
    const rows = groups.get(group) ?? [];
    rows.push(row(SETTINGS[name as SettingName], users));
    groups.set(group, rows);
  }
  const own = Object.entries(COMMANDS).flatMap(([command, { settings }]) =>
    Object.entries(settings).filter(([name]) => !(name in SETTINGS)).map(([, setting]) => row(setting, command)),
  );
  groups.set('Commands', own);
  return Object.fromEntries(Array.from(groups, ([group, rows]) => [group, table(HEADS, rows)]));
}
