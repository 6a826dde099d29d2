/** The grpcurl commands of README.md, against a server that demands certificates. */

import { mkdirSync, symlinkSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { meet, README, steps, substitute } from '../support/readme-commands.ts';
import { run } from './kubectl.ts';

export interface Grpcurl {
  /** Flags in place of -plaintext. */
  readonly tls: string;
  /** With grpcurl on PATH. */
  readonly env: NodeJS.ProcessEnv;
}

/** @param folder with ca.crt, tls.crt and tls.key; a link to grpcurl is put there. */
export function grpcurlIn(folder: string, program: string): Grpcurl {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  if (isAbsolute(program)) symlinkSync(program, join(bin, 'grpcurl'));
  const file = (name: string): string => join(folder, name);
  return {
    tls: `-cacert ${file('ca.crt')} -cert ${file('tls.crt')} -key ${file('tls.key')}`,
    env: { PATH: `${bin}${delimiter}${process.env['PATH']}` },
  };
}

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

/** Which pods lead partitions, from the cluster itself. */
export async function leadersOf(address: string, { tls, env }: Grpcurl): Promise<Map<string, number>> {
  const answer = await run('sh', ['-c', `grpcurl ${tls} ${address} txmesh.cluster.v1.ClusterService/GetCluster`], { env, boundMs: 30_000 });
  const { cluster } = JSON.parse(answer) as { cluster: { services: { partitions: { address?: string }[] }[] } };
  const leaders = new Map<string, number>();
  for (const { partitions } of cluster.services)
    for (const { address: leader = '' } of partitions) {
      const pod = leader.split('.')[0]!;
      leaders.set(pod, (leaders.get(pod) ?? 0) + 1);
    }
  return leaders;
}
