/** The processes of the bench: servers, loads, the echo. Each is ended by the id that was kept. */

import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { SERVER_FLAGS } from '../../deploy/local/server-process.ts';
import type { LoadReport } from './measured.ts';
import type { ServerUsage } from './server.ts';

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const START_BOUND_MS = 120_000;

type Environment = Readonly<Record<string, string>>;

function launch(name: string, args: readonly string[], environment: Environment, flags: readonly string[] = []): ChildProcess {
  const child = fork(script(name), args, {
    execArgv: ['--conditions=txmesh-source', ...flags],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, ...environment },
  });
  const takeAlong = (): void => void child.kill('SIGKILL');
  process.once('exit', takeAlong);
  child.once('exit', () => process.off('exit', takeAlong));
  return child;
}

/** The next message of a child, or its end as an error. */
function message<T>(child: ChildProcess, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`${what} ended with ${code}`));
    child.once('exit', ended);
    child.once('message', (value) => {
      child.off('exit', ended);
      resolve(value as T);
    });
  });
}

export class BenchServer {
  readonly address: string;
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess, address: string) {
    this.child = child;
    this.address = address;
  }

  static async start(args: readonly string[], environment: Environment = {}, flags: readonly string[] = []): Promise<BenchServer> {
    const child = launch('server.ts', ['--port', '0', ...args], environment, [...SERVER_FLAGS, ...flags]);
    let last = '';
    const address = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stderr! }).on('line', (line) => {
        last = line;
        if (line.includes('"message":"serving"')) resolve((JSON.parse(line) as { address: string }).address);
      });
      child.once('exit', () => reject(new Error(last)));
      AbortSignal.timeout(START_BOUND_MS).addEventListener('abort', () => reject(new Error(`no server within ${START_BOUND_MS} ms: ${last}`)));
    });
    return new BenchServer(child, address);
  }

  usage(): Promise<ServerUsage> {
    const answer = message<ServerUsage>(this.child, 'the server');
    this.child.send({});
    return answer;
  }

  /** Ends it gracefully, or at once as a crash would. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill(signal);
    await exited;
  }
}

/** Runs a load, a script of this folder; `onWarm` is called when measuring begins. */
export async function load<Options, Report extends LoadReport>(
  name: string,
  options: Options,
  onWarm: () => Promise<void> = () => Promise.resolve(),
  environment: Environment = {},
): Promise<Report> {
  const child = launch(name, [JSON.stringify(options)], environment, SERVER_FLAGS);
  child.stderr!.pipe(process.stderr);
  await message(child, 'the load');
  const reported = message<{ report: Report }>(child, 'the load');
  await onWarm();
  return (await reported).report;
}

/** A process that answers every frame; see limits.ts. */
export async function startEcho(): Promise<{ readonly port: number; stop(): void }> {
  const child = launch('echo.ts', [], {});
  const { port } = await message<{ port: number }>(child, 'the echo');
  return { port, stop: () => void child.kill('SIGKILL') };
}
