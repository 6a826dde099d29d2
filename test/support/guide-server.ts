/** Servers for the pages in docs/: fresh ones, with folders and ports of their own, whatever the page says. */

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ServerFailed, ServerProcess } from '../../deploy/local/server-process.ts';

const run = promisify(execFile);
/** VARIABLE=value …, then the arguments. */
const COMMAND = /^((?:[A-Z_]+=\S+ )*)npm run txmesh(?: -- ([\s\S]*))?$/;

export const startsServer = (command: string): boolean => COMMAND.test(command);

/** What such a command says, as a shell splits it. */
export async function parsed(command: string): Promise<{ readonly args: readonly string[]; readonly environment: Readonly<Record<string, string>> }> {
  const [, variables = '', words = ''] = COMMAND.exec(command)!;
  const { stdout } = await run('sh', ['-c', `printf '%s\\0' ${words}`]);
  const environment = Object.fromEntries(variables.trim().split(' ').filter((each) => each !== '').map((each) => each.split('=') as [string, string]));
  return { args: words === '' ? [] : stdout.split('\0').slice(0, -1), environment };
}

/** @returns the server, or what it said when it did not come up */
export async function startServer(command: string, folder: string): Promise<ServerProcess | string> {
  const { args, environment } = await parsed(command);
  const own = args.map((arg, i) => (args[i - 1] === '--data-dir' ? join(folder, arg) : arg));
  const elsewhere = args.includes('--data-dir') ? [] : ['--data-dir', join(folder, 'data')];
  try {
    return await ServerProcess.start({ args: ['--port', '0', ...elsewhere, ...own], environment, logFile: join(folder, 'server.log') });
  } catch (error) {
    if (error instanceof ServerFailed) return error.message;
    throw error;
  }
}
