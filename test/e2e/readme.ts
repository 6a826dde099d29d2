/** The grpcurl commands of README.md, against a server that demands certificates. */

import { meet, README, steps, substitute } from '../support/readme-commands.ts';
import type { Grpcurl } from './grpcurl.ts';
import { run } from './kubectl.ts';

/** @returns how many commands did what README.md shows. @throws for the first that did not. */
export async function runReadme(address: string, { tls, env }: Grpcurl): Promise<number> {
  const commands = steps(README).filter(({ command }) => command.startsWith('grpcurl'));
  const known = new Map<string, string>();
  for (const { command, expected } of commands) {
    const real = forFourPartitions(substitute(command, known, address).replace('-plaintext', tls));
    // A watch that is to end after some seconds ends with an error, which the README's own pipe hides.
    const stdout = await run('sh', ['-c', `{ ${real}\n} 2>&1`], { env, boundMs: 30_000 }).catch((error: Error) => error.message);
    const output = stdout.split('\n').map((line) => line.trim());
    const missing = expected.find((shown) => !meet(shown, output, known));
    if (missing !== undefined) throw new Error(`${real}\nwas to print ${missing}\nbut printed\n${stdout}`);
  }
  return commands.length;
}

/** The README's server has one partition of each service: its watches name that one, and are short. */
function forFourPartitions(command: string): string {
  const all = [0, 1, 2, 3].map((partition) => `{"partition":${partition},"revision":0}`).join(',');
  return command.replace('{"partition":0,"revision":0}', all).replace(/\| head -n \d+$/, '| head -n 200');
}
