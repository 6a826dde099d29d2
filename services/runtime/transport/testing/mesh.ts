/** Servers, channels and links on loopback for tests: real gRPC, port 0, everything closed at the end. */

import { onTestFinished } from 'vitest';
import { systemClock } from '../../clock.ts';
import { Channels, type ChannelSettings } from '../channels.ts';
import { MeshServer, type ServerOptions } from '../server.ts';

export interface LogLine {
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

export function openServer(options: Partial<ServerOptions> = {}): { readonly server: MeshServer; readonly logs: LogLine[] } {
  const logs: LogLine[] = [];
  const server = new MeshServer({
    clock: systemClock,
    entropy: () => 0.5,
    log: (message, fields) => void logs.push({ message, fields }),
    ...options,
  });
  onTestFinished(() => server.close(0));
  return { server, logs };
}

export function openChannels(settings: Partial<ChannelSettings> = {}): Channels {
  const channels = new Channels({ clock: systemClock, settings });
  onTestFinished(() => channels.close());
  return channels;
}

/** Resolves once the condition holds. The test's own timeout bounds the wait. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** A promise and its ends. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}
