import { createServer } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type CryptoKey, type JWTPayload } from 'jose';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Failure } from '../../kernel/failure.ts';
import { systemClock, type Clock } from '../clock.ts';
import type { ServerCall } from '../transport/context.ts';
import { Callers } from './callers.ts';
import { openKeySet, type KeySet } from './key-set.ts';
import { Tokens, type TokenRules } from './tokens.ts';

const RULES: TokenRules = { issuer: 'https://issuer.test', audience: 'mesh', algorithms: ['ES256'], leewayMs: 10_000 };
const START_MS = 1_800_000_000_000;

interface Pair {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly jwk: object;
}
const newPair = async (kid: string): Promise<Pair> => {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  return { privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' } };
};
let one: Pair;
let two: Pair;
beforeAll(async () => void ([one, two] = await Promise.all([newPair('one'), newPair('two')])));

const token = (claims: JWTPayload = {}, { privateKey } = one, kid = 'one'): Promise<string> =>
  new SignJWT({ iss: RULES.issuer, aud: 'mesh', sub: 'anne', exp: START_MS / 1000 + 60, ...claims }).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey);

function keyFile(keys: readonly object[]): { readonly file: string; write(keys: readonly object[]): void } {
  const folder = mkdtempSync(join(tmpdir(), 'txmesh-keys-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'keys.json');
  const write = (all: readonly object[]): void => writeFileSync(file, JSON.stringify({ keys: all }));
  write(keys);
  return { file, write };
}

/** Wall time stands still unless it is moved; files are looked at at once. */
function newClock() {
  const clock = {
    ...systemClock,
    wallMs: START_MS,
    nowMs: () => clock.wallMs,
    setTimer: ((delayMs, call) => systemClock.setTimer(Math.min(delayMs, 20), call)) as Clock['setTimer'],
  };
  return clock;
}

function open(source: string, clock = newClock()) {
  const logs: string[] = [];
  const keys: KeySet = openKeySet(source, { clock, log: (message, fields) => void logs.push(`${message} ${JSON.stringify(fields)}`) });
  const counted = vi.fn(keys.keyFor);
  const tokens = new Tokens({ keyFor: counted, onChange: (call) => keys.onChange(call), close: () => keys.close() }, RULES, clock);
  onTestFinished(() => tokens.close());
  return { tokens, clock, counted, logs };
}

const reasonOf = (found: object): string => ('reason' in found ? String((found as Failure).reason) : 'none');

describe('a token', () => {
  test('that is right says who calls, and is verified once', async () => {
    const { tokens, counted } = open(keyFile([one.jwk]).file);
    const text = await token({ groups: ['a'] });
    const [found, same] = await Promise.all([tokens.verify(text), tokens.verify(text)]);
    expect(found).toMatchObject({ type: 'token', issuer: RULES.issuer, subject: 'anne', claims: { groups: ['a'] }, expiresMs: START_MS + 70_000 });
    expect(same).toBe(found);
    expect(tokens.verify(text)).toBe(found);
    expect(counted).toHaveBeenCalledTimes(1);
  });

  test.each<[string, JWTPayload, string]>([
    ['has expired beyond the leeway', { exp: START_MS / 1000 - 11 }, 'TOKEN_EXPIRED'],
    ['has expired within the leeway', { exp: START_MS / 1000 - 9 }, 'none'],
    ['will be valid beyond the leeway', { nbf: START_MS / 1000 + 11 }, 'TOKEN_INVALID'],
    ['will be valid within the leeway', { nbf: START_MS / 1000 + 9 }, 'none'],
    ['has several audiences', { aud: ['others', 'mesh'] }, 'none'],
    ['is for others', { aud: ['others'] }, 'TOKEN_INVALID'],
    ['is of another issuer', { iss: 'https://issuer.test/' }, 'TOKEN_INVALID'],
    ['never expires', { exp: undefined as never }, 'TOKEN_INVALID'],
    ['has no subject', { sub: undefined as never }, 'TOKEN_INVALID'],
    ['has an empty subject', { sub: '' }, 'TOKEN_INVALID'],
  ])('that %j is %j: %s', async (_, claims, reason) => {
    const { tokens } = open(keyFile([one.jwk]).file);
    expect(reasonOf(await tokens.verify(await token(claims)))).toBe(reason);
  });

  test('signed with the public key as a secret, in no way, or by a way that is not allowed is refused', async () => {
    const { tokens } = open(keyFile([one.jwk]).file);
    const claims = { iss: RULES.issuer, aud: 'mesh', sub: 'anne', exp: START_MS / 1000 + 60 };
    const secret = new TextEncoder().encode(await exportSPKI(one.publicKey));
    const symmetric = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'one' }).sign(secret);
    const rsa = await generateKeyPair('RS256');
    const other = await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'one' }).sign(rsa.privateKey);
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${symmetric.split('.')[1]}.`;
    for (const text of [symmetric, other, none]) expect(await tokens.verify(text)).toMatchObject({ reason: 'TOKEN_INVALID', message: 'the token is signed in a way that is not allowed (alg)' });
    for (const text of ['', '..', 'a.b.c', 'x'.repeat(9_000)]) expect(reasonOf(await tokens.verify(text))).toBe('TOKEN_INVALID');
  });

  test('that was right ends with its time', async () => {
    const { tokens, clock } = open(keyFile([one.jwk]).file);
    const text = await token();
    expect(reasonOf(await tokens.verify(text))).toBe('none');
    clock.wallMs += 71_000;
    expect(reasonOf(await tokens.verify(text))).toBe('TOKEN_EXPIRED');
  });

  test('is refused once its key is taken out of the file, and another key is taken up', async () => {
    const file = keyFile([one.jwk]);
    const { tokens } = open(file.file);
    const [old, young] = await Promise.all([token(), token({}, two, 'two')]);
    expect(reasonOf(await tokens.verify(old))).toBe('none');
    expect(await tokens.verify(young)).toMatchObject({ reason: 'TOKEN_INVALID', message: 'the token is signed by a key that the issuer does not have' });
    file.write([two.jwk]);
    await vi.waitUntil(async () => reasonOf(await tokens.verify(old)) === 'TOKEN_INVALID', 10_000);
    expect(reasonOf(await tokens.verify(young))).toBe('none');
  });

  test('is not remembered where its key was withdrawn while it was verified', async () => {
    const { publicKey } = one;
    let withdraw = (): void => undefined;
    const taken = Promise.withResolvers<void>();
    const keyFor = vi.fn(async () => (await taken.promise, publicKey));
    const tokens = new Tokens({ keyFor, onChange: (call) => (withdraw = call), close: () => undefined }, RULES, newClock());
    const text = await token();
    const first = tokens.verify(text);
    withdraw();
    taken.resolve();
    expect(reasonOf(await first)).toBe('none');
    await tokens.verify(text);
    expect(keyFor).toHaveBeenCalledTimes(2);
  });

  test('is verified with the keys before where the new file is wrong, which the log says', async () => {
    const file = keyFile([one.jwk]);
    const { tokens, logs } = open(file.file);
    file.write([]);
    await vi.waitUntil(() => logs.length > 0, 10_000);
    expect(logs[0]).toContain('those read before stay in use');
    expect(reasonOf(await tokens.verify(await token()))).toBe('none');
  });
});

describe('a key set', () => {
  test('of secrets or private keys is refused, and what is none', async () => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true });
    const wrong: [readonly object[], string][] = [
      [[{ kty: 'oct', k: 'c2VjcmV0' }], 'symmetric'],
      [[await exportJWK(privateKey)], 'private key'],
      [[], '1 to 100 keys'],
    ];
    for (const [keys, message] of wrong) expect(() => open(keyFile(keys).file)).toThrow(message);
    expect(() => open('/nowhere/keys.json')).toThrow('/nowhere/keys.json');
    for (const host of ['issuer.test', '127.0.0.1.issuer.test', '127.issuer.test']) expect(() => open(`http://${host}/keys`)).toThrow('is not https');
  });

  test('at a URL is fetched once for many tokens; one that can not be had is no fault of the caller', async () => {
    let fetched = 0;
    let status = 500;
    const server = createServer((_, response) => {
      fetched++;
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: [one.jwk] }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const clock = { ...newClock(), setTimer: systemClock.setTimer };
    const { tokens } = open(`http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`, clock);
    for (let i = 0; i < 50; i++) expect(await tokens.verify(await token({ jti: `early ${i}` }))).toMatchObject({ reason: 'TOKEN_KEYS_UNAVAILABLE', retryAfterMs: 1000 });
    expect(fetched).toBe(1);
    status = 200;
    await vi.waitUntil(async () => reasonOf(await tokens.verify(await token())) === 'none', { timeout: 10_000, interval: 200 });
    const before = fetched;
    for (let i = 0; i < 10; i++) expect(reasonOf(await tokens.verify(await token({ jti: String(i) })))).toBe('none');
    expect(reasonOf(await tokens.verify(await token({}, two, 'two')))).toBe('TOKEN_INVALID');
    expect(fetched).toBe(before);
  });
});

describe('who calls', () => {
  const callFrom = (peer: string, ...authorization: string[]): ServerCall => {
    const metadata = new grpc.Metadata();
    for (const value of authorization) metadata.add('authorization', value);
    return { metadata, cancelled: false, getDeadline: () => Infinity, getPeer: () => peer, once: () => undefined };
  };
  const callers = (encrypted: boolean) => {
    const { tokens, clock } = open(keyFile([one.jwk]).file);
    return new Callers({ tokens, encrypted: () => encrypted, nowMs: () => clock.nowMs() });
  };

  test.each([
    ['127.0.0.1:4711', false, 'none'],
    ['::1:4711', false, 'none'],
    ['::ffff:127.0.0.1:4711', false, 'none'],
    ['10.0.0.7:4711', false, 'TOKEN_UNENCRYPTED'],
    ['fd00::1:4711', false, 'TOKEN_UNENCRYPTED'],
    ['unknown', false, 'TOKEN_UNENCRYPTED'],
    ['10.0.0.7:4711', true, 'none'],
  ])('from %s, encrypted %j, with a token: %s', async (peer, encrypted, reason) => {
    expect(reasonOf(await callers(encrypted).of(callFrom(peer, `Bearer ${await token()}`)))).toBe(reason);
  });

  test('is not told by several tokens, another scheme, or a token that nobody verifies', async () => {
    const text = await token();
    const known = callers(true);
    expect(reasonOf(await known.of(callFrom('10.0.0.7:1', `Bearer ${text}`, `Bearer ${text}`)))).toBe('TOKEN_INVALID');
    expect(reasonOf(await known.of(callFrom('10.0.0.7:1', `Basic ${text}`)))).toBe('TOKEN_INVALID');
    expect(reasonOf(await known.of(callFrom('10.0.0.7:1', `bearer  ${text}`)))).toBe('none');
    const without = new Callers({ encrypted: () => true, nowMs: () => START_MS });
    expect(await without.of(callFrom('10.0.0.7:1', `Bearer ${text}`))).toMatchObject({ reason: 'TOKEN_INVALID', message: expect.stringContaining('--jwt-jwks') });
    expect(await without.of(callFrom('10.0.0.7:1'))).toMatchObject({ principal: { type: 'nobody', address: '10.0.0.7' } });
  });
});
