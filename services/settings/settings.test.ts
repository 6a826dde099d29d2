import { describe, expect, it } from 'vitest';
import { helpText, readSettings, SettingError, variableOf } from './read.ts';
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
    [['--store', 'redis'], {}, '--store must be embedded or etcd or memory, not "redis"'],
    [['--participants', 'Pay'], {}, '--participants must be of a-z, 0-9 and -, beginning with a letter, at most 63 characters, not "Pay"'],
    [['--bogus', '1'], {}, '--bogus is not a setting; --help lists them'],
    [[], { TXMESH_BOGUS: '1' }, 'TXMESH_BOGUS is not a setting; --help lists them'],
    [['--port'], {}, '--port needs a value'],
    [['--etcd-user', 'root'], {}, '--etcd-user and --etcd-password go together; one of them is missing'],
    [['--health-port', '50051'], {}, '--health-port and --port are the same; health is told on --port in any case'],
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

  it('lists every flag and variable in the help', () => {
    const help = helpText('usage');
    for (const { flag } of Object.values(SETTINGS)) {
      expect(help).toContain(`--${flag} `);
      expect(help).toContain(variableOf(flag));
    }
  });
});
