import { afterEach, describe, expect, test, vi } from 'vitest';
import { connect } from './index.ts';
import { settingsFrom, systemEnvironment, type ConnectOptions } from './options.ts';

describe('the options of a connection', () => {
  test.each(['127.0.0.1:50051', '[::1]:50051', 'coordinator-headless.txmesh.svc:1', 'dns:///mesh:50051', 'unix:/run/mesh'])('take %s as an address', (address) => {
    expect(settingsFrom({ addresses: [address] }).addresses).toEqual([address]);
  });

  test.each<[string, object]>([
    ['addresses', { addresses: [] }],
    ['addresses', { addresses: '127.0.0.1:50051' }],
    ['addresses', { addresses: [undefined] }],
    ...['', 'localhost', '127.0.0.1', '127.0.0.1:', '127.0.0.1:65536', '::1:50051', '[::1', ':50051', 'a b:1', 'http://mesh:50051', 'mesh:port'].map(
      (address): [string, object] => ['addresses', { addresses: ['mesh:1', address] }],
    ),
    ['timeoutMs', { timeoutMs: -1 }],
    ['timeoutMs', { timeoutMs: NaN }],
    ['maxPending', { maxPending: NaN }],
    ['maxPending', { maxPending: Infinity }],
    ['maxPending', { maxPending: 0 }],
  ])('are refused by name: %s of %j', (field, wrong) => {
    let thrown: unknown;
    try {
      connect({ addresses: ['mesh:1'], ...wrong } as ConnectOptions);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ name: 'InvalidRequest', message: expect.stringMatching(/address|timeoutMs|maxPending/), violations: [{ field }] });
  });
});

describe('a timer', () => {
  afterEach(() => vi.useRealTimers());

  test('of a very long time does not end at once', () => {
    vi.useFakeTimers();
    const ended = vi.fn();
    for (const delayMs of [Infinity, 2 ** 31]) systemEnvironment.clock.setTimer(delayMs, ended);
    vi.advanceTimersByTime(24 * 60 * 60_000);
    expect(ended).not.toHaveBeenCalled();
  });
});
