/**
 * `npm start`: runs a server, takes the tour, and keeps serving until Ctrl-C. Takes the server's
 * settings, and `--once` to end after the tour.
 */

import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { helpText, readSettings, SettingError } from '../../services/settings/read.ts';
import type { Settings } from '../../services/settings/table.ts';
import { version } from '../../services/version.ts';
import { ConsumerProcess } from './consumer-process.ts';
import { ServerFailed, ServerProcess } from './server-process.ts';
import { nextSteps, printer, tour, TOUR_SERVICES, type TourConsumer, type TourServer } from './tour.ts';

const HOLDING_MAIN = fileURLToPath(new URL('holding-server.ts', import.meta.url));
const print = printer((line) => console.log(line), process.stdout.isTTY);

/** The server of the tour, which is started several times at the same place. */
class RestartableServer implements TourServer {
  private readonly args: readonly string[];
  private readonly logFile = join(tmpdir(), `txmesh-${process.pid}.log`);
  private current: ServerProcess | undefined;
  private consumer: ConsumerProcess | undefined;

  constructor(args: readonly string[]) {
    this.args = args;
  }

  get address(): string {
    return this.current!.address;
  }

  get log(): string {
    return this.logFile;
  }

  async start(main?: string): Promise<ServerProcess> {
    const options = { args: this.args, logFile: this.logFile };
    this.current = await ServerProcess.start(main === undefined ? options : { ...options, main });
    return this.current;
  }

  async restartHolding(): Promise<void> {
    await this.current!.stop();
    await this.start(HOLDING_MAIN);
  }

  async crashAndRestart(): Promise<void> {
    await this.current!.kill();
    await this.start();
  }

  startConsumer(hang: boolean): TourConsumer {
    this.consumer = new ConsumerProcess(this.address, hang, this.logFile);
    return this.consumer;
  }

  async stop(): Promise<void> {
    await this.consumer?.kill();
    await this.current?.stop();
  }
}

async function main(args: string[]): Promise<number> {
  const once = args.includes('--once');
  const serverArgs = args.filter((arg) => arg !== '--once');
  const parsed = readSettings(serverArgs, process.env);
  if (parsed.type === 'help') {
    console.log(helpText('npm start -- [--once] [SETTING …]\n\nRuns the mesh, takes a short tour, and serves until Ctrl-C (--once: ends after the tour).'));
    return 0;
  }
  if (parsed.type === 'version') {
    console.log(version);
    return 0;
  }
  if (parsed.settings.store === 'memory')
    throw new SettingError('--store memory loses everything in the crash that the tour makes; use embedded or etcd (npm run txmesh -- --store memory runs without the tour)');
  requireTourServices(parsed.settings);
  const stopped = Promise.withResolvers<'stopped'>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.resolve('stopped'));
  const server = new RestartableServer(serverArgs);
  await server.start();
  try {
    print(`\ntxmesh ${version} serves at ${server.address}: coordinator, ${served(parsed.settings)}\n`);
    const toured = await Promise.race([tour(server, print), stopped.promise]);
    if (!once && toured !== 'stopped') {
      print(nextSteps(server.address));
      print(`Serving at ${server.address} until Ctrl-C. Log: ${server.log}`);
      await stopped.promise;
    }
  } finally {
    await server.stop();
  }
  if (once) rmSync(server.log, { force: true });
  return 0;
}

// Whoever read the output has gone: nobody is left to tell.
process.stdout.on('error', () => process.exit(1));
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const known = error instanceof SettingError || error instanceof ServerFailed;
  const words = error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error);
  console.error(error instanceof SettingError ? `txmesh: ${words}` : words);
  process.exitCode = error instanceof SettingError ? 2 : 1;
}

/** @throws SettingError where the settings leave out what the tour uses. */
function requireTourServices(settings: Settings): void {
  for (const [setting, names] of Object.entries(TOUR_SERVICES) as [keyof typeof TOUR_SERVICES, readonly string[]][]) {
    const missing = names.filter((name) => !settings[setting].includes(name));
    if (missing.length > 0)
      throw new SettingError(`--${setting} leaves out ${missing.join(', ')}, which the tour uses: add it, or run without the tour (npm run txmesh -- --${setting} …)`);
  }
  if (settings.coordinator === 'false') throw new SettingError('--coordinator false leaves the tour without transactions; run without the tour (npm run txmesh -- --coordinator false)');
}

/** The services beside the coordinator, by name. */
function served({ participants, queues, counters }: Pick<Settings, 'participants' | 'queues' | 'counters'>): string {
  const named = (kind: string, names: readonly string[]): string[] => (names.length === 0 ? [] : [`${kind} ${names.join(', ')}`]);
  return [...named('participants', participants), ...named('queue', queues), ...named('counter', counters)].join('; ');
}
