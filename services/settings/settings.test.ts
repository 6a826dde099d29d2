import { describe, expect, it } from 'vitest';
import { COMMANDS } from './commands.ts';
import { helpText, readCommandSettings, readSettings, SettingError, variableOf } from './read.ts';
import { SETTINGS } from './table.ts';

const settingsOf = (args: string[], environment: Record<string, string> = {}) => {
  const parsed = readSettings(args, environment);
  if (parsed.type !== 'settings') throw new Error(parsed.type);
  return parsed.settings;
};

describe('settings', () => {
  it('has a default for everything that is needed', () => {
    expect(settingsOf([])).toMatchObject({ host: '127.0.0.1', port: 50051, store: 'embedded', retention: 900_000 });
  });

  it('takes a flag before an environment variable', () => {
    expect(settingsOf(['--port', '1'], { TXMESH_PORT: '2' }).port).toBe(1);
    expect(settingsOf(['--port=3'], { TXMESH_PORT: '2' }).port).toBe(3);
    expect(settingsOf([], { TXMESH_PORT: '2' }).port).toBe(2);
  });

  it('reads durations and sizes with their units', () => {
    expect(settingsOf(['--lease', '1.5s', '--max-message', '512KiB'])).toMatchObject({ lease: 1500, maxMessage: 524_288 });
  });

  it.each([
    [['--port', 'http'], {}, '--port must be a whole number from 0 to 65535, not "http"'],
    [[], { TXMESH_PORT: '70000' }, 'TXMESH_PORT must be a whole number from 0 to 65535, not "70000"'],
    [['--lease', '10'], {}, '--lease must be a number with a unit: ms, s, m, h or d, for example 5s, not "10"'],
    [['--lease', '2m'], {}, '--lease must be from 1s to 1m, not "2m"'],
    [['--retention', '8d'], {}, '--retention must be from 1s to 7d, not "8d"'],
    [['--store', 'redis'], {}, '--store must be embedded or etcd or memory, not "redis"'],
    [['--participants', 'Pay'], {}, '--participants must be of a-z, 0-9 and -, beginning with a letter, at most 63 characters, not "Pay"'],
    [['--bogus', '1'], {}, '--bogus is not a setting; --help lists them'],
    [[], { TXMESH_BOGUS: '1' }, 'TXMESH_BOGUS is not a setting; --help lists them'],
    [['--port'], {}, '--port needs a value'],
    [['--etcd-user', 'root'], {}, '--etcd-user and --etcd-password go together; one of them is missing'],
    [['--health-port', '50051'], {}, '--health-port and --port are the same; health is told on --port in any case'],
    [['--metrics-port', '50051'], {}, '--metrics-port and --port are the same; metrics need a port of their own'],
    [['--health-port', '9464'], { TXMESH_METRICS_PORT: '9464' }, '--metrics-port and --health-port are the same; metrics need a port of their own'],
    [['--coordinator', 'false', '--participants', '', '--queues', '', '--counters', ''], {}, '--coordinator false with no --participants, --queues and --counters leaves nothing to run'],
    [['--counters', 'counter,inventory'], {}, '--participants, --queues and --counters name one twice'],
    [['--tls-clients', 'optional'], {}, '--tls-clients optional needs --tls-ca, to know replicas by, and --policy: without one, everybody could do everything'],
    [['--jwt-jwks', 'keys.json'], {}, '--jwt-jwks needs --jwt-issuer and --jwt-audience: a token of another issuer, or meant for others, must not do'],
    [[], { TXMESH_JWT_ISSUER: 'https://issuer.test' }, '--jwt-issuer and --jwt-audience need --jwt-jwks'],
    [['--jwt-algorithms', 'HS256'], {}, '--jwt-algorithms must be RS256 or RS384 or RS512 or PS256 or PS384 or PS512 or ES256 or ES384 or ES512 or EdDSA or Ed25519, not "HS256"'],
    [['--jwt-algorithms', ''], {}, '--jwt-algorithms names none'],
    [['--audit', 'none'], {}, '--audit must be denied or all, not "none"'],
  ])('says which setting is wrong and what it must be: %j %j', (args, environment, message) => {
    expect(() => readSettings(args, environment as Record<string, string>)).toThrow(new SettingError(message));
  });

  it('of a command are where the store is, and its own; other variables of ours are left to others', () => {
    const parsed = readCommandSettings('backup', ['--output', 'file'], { TXMESH_DATA_DIR: '/data', TXMESH_PORT: '1', TXMESH_INPUT: 'other' });
    expect(parsed).toMatchObject({ type: 'settings', settings: { store: 'embedded', dataDir: '/data', output: 'file' } });
    expect(parsed.type === 'settings' && Object.keys(parsed.settings)).not.toContain('port');
    expect(readCommandSettings('restore', [], { TXMESH_INPUT: 'file' })).toMatchObject({ settings: { input: 'file' } });
    expect(settingsOf([], { TXMESH_INPUT: 'file', TXMESH_OUTPUT: 'file' }).port).toBe(50051);
    expect(readCommandSettings('raise-epochs', ['--help'], {})).toEqual({ type: 'help' });
  });

  it.each([
    ['backup', ['--port', '1'], {}, '--port is not a setting; --help lists them'],
    ['restore', ['--output', 'file'], {}, '--output is not a setting; --help lists them'],
    ['raise-epochs', [], { TXMESH_BOGUS: '1' }, 'TXMESH_BOGUS is not a setting; --help lists them'],
    ['backup', ['--store', 'redis'], {}, '--store must be embedded or etcd or memory, not "redis"'],
    ['backup', ['--etcd-cert', 'file'], {}, '--etcd-cert and --etcd-key go together; one of them is missing'],
  ] as const)('of a command are checked: %s %j %j', (command, args, environment, message) => {
    expect(() => readCommandSettings(command, args, environment)).toThrow(new SettingError(message));
  });

  it('says in the help how short and how long a time may be', () => {
    expect(helpText('usage')).toContain('--lease <1s … 1m> [5s]');
    expect(helpText('usage')).toContain('--connection-grace <0ms … 1h> [1m]');
  });

  it('lists every flag and variable in the help', () => {
    for (const table of [SETTINGS, ...Object.values(COMMANDS).map(({ settings }) => settings)]) {
      const help = helpText('usage', table);
      for (const { flag } of Object.values(table)) {
        expect(help).toContain(`--${flag} `);
        expect(help).toContain(variableOf(flag));
      }
    }
  });
});
