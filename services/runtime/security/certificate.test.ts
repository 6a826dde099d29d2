import { describe, expect, test } from 'vitest';
import { isSpiffeId, spiffeIdIn } from './certificate.ts';

describe('the identity in a certificate', () => {
  test.each([
    ['URI:spiffe://txmesh/service/queue', 'spiffe://txmesh/service/queue'],
    ['DNS:localhost, IP Address:127.0.0.1, URI:spiffe://txmesh/client/shop, DNS:*.x', 'spiffe://txmesh/client/shop'],
    ['DNS:localhost', undefined],
    ['', undefined],
    ['URI:https://txmesh/service/queue', undefined],
    // Which of the two would it be?
    ['URI:spiffe://txmesh/service/queue, URI:spiffe://txmesh/client/shop', undefined],
    ['URI:spiffe://txmesh/client/shop, URI:https://example.org', undefined],
    // One name that would pass for two, as Node quotes it.
    ['DNS:"a, URI:spiffe://txmesh/service/queue"', undefined],
    ['URI:"spiffe://txmesh/client/a, URI:spiffe://txmesh/service/queue"', undefined],
    ['DNS:"a\\", URI:spiffe://txmesh/service/queue"', undefined],
    ['othername:<unsupported>, URI:spiffe://txmesh/client/shop', 'spiffe://txmesh/client/shop'],
    ['URI:spiffe://txmesh/client/"shop"', undefined],
  ])('of %j is %j', (names, id) => {
    expect(spiffeIdIn(names)).toBe(id);
  });

  test.each([
    ['spiffe://txmesh/a', true],
    ['spiffe://cluster.local/ns/a/sa/b', true],
    ['spiffe://txmesh', false],
    ['spiffe://txmesh/', false],
    ['spiffe://txmesh/a/', false],
    ['spiffe://txmesh/a//b', false],
    ['spiffe://txmesh/a/../b', false],
    ['spiffe://txmesh/.', false],
    ['spiffe://txmesh/...', true],
    ['spiffe://TXMESH/a', false],
    ['spiffe://user@txmesh/a', false],
    ['spiffe://txmesh:1/a', false],
    ['spiffe://txmesh/a?b', false],
    ['spiffe://txmesh/*', false],
    [`spiffe://txmesh/${'a'.repeat(2048)}`, false],
  ])('%j is one: %j', (text, is) => {
    expect(isSpiffeId(text)).toBe(is);
  });
});
