/**
 * The commands that README.md shows, with their outputs. A line of the README must be met by a line of
 * the output; "…" stands for anything. Ids, epochs and counters differ from run to run: where the README
 * shows one in an output, the real one takes its place in the commands that follow.
 */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

export const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const README_ADDRESS = '127.0.0.1:50051';

export interface Step {
  readonly command: string;
  readonly expected: readonly string[];
}

/** The commands of the README's console blocks with the output shown after each. */
export function steps(text: string): Step[] {
  const found: { command: string; expected: string[] }[] = [];
  for (const [, block] of text.matchAll(/```console\n([\s\S]*?)```/g)) {
    let continued = false;
    for (const line of block!.split('\n')) {
      if (continued) found.at(-1)!.command += `\n${line}`;
      else if (line.startsWith('$ ')) found.push({ command: line.slice(2), expected: [] });
      else if (line.trim() !== '') found.at(-1)!.expected.push(line.trim());
      const command = found.at(-1)!.command;
      const quotes = command.split("'").length - 1;
      continued = line.endsWith('\\') || quotes % 2 === 1;
    }
  }
  return found;
}

/** What differs from run to run, as a pattern with one group, and what that group may be. */
const VARYING: readonly (readonly [shown: RegExp, real: string])[] = [
  [/([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})/, '([0-9a-f-]{36})'],
  [/"epoch": ?"(\d+)"/, String.raw`(\d+)`],
  [/"counter": ?"(\d+)"/, String.raw`(\d+)`],
  [/"version": ?"(\d+)"/, String.raw`(\d+)`],
  [/(?<="ackId": ?")([^"]+)/, '([^"]+)'],
];

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** Holds one shown line against the output; learns what varies. */
export function meet(shown: string, output: readonly string[], known: Map<string, string>): boolean {
  const [varying, becomes] = VARYING.find(([pattern]) => pattern.test(shown)) ?? [];
  const literal = varying?.exec(shown)?.[0];
  const value = varying?.exec(shown)?.[1];
  let pattern = escape(shown).replaceAll('…', '.*');
  if (literal !== undefined && value !== undefined) {
    const real = known.get(literal);
    if (real === undefined) pattern = pattern.replace(escape(value), becomes!);
    else pattern = pattern.replace(escape(literal), escape(real));
  }
  for (const line of output) {
    const match = new RegExp(`^${pattern}$`).exec(line);
    if (match === null) continue;
    if (match[1] !== undefined) known.set(literal!, literal!.replace(value!, match[1]));
    return true;
  }
  return false;
}

export function substitute(command: string, known: ReadonlyMap<string, string>, address: string): string {
  let result = command.replaceAll(README_ADDRESS, address);
  for (const [literal, real] of known) {
    const spaceless = literal.replaceAll(' ', '');
    result = result.replaceAll(literal, real).replaceAll(spaceless, real.replaceAll(' ', ''));
  }
  return result;
}

const run = promisify(execFile);
const COMMAND_BOUND_MS = 20_000;

/** What a command prints. Where an error is shown, it has to fail. */
export async function outputOf(command: string, path: string, fails: boolean): Promise<{ stdout: string; stderr: string }> {
  const running = run('sh', ['-c', command], { env: { ...process.env, PATH: path }, timeout: COMMAND_BOUND_MS });
  if (!fails) return running;
  return running.then(
    () => Promise.reject(new Error(`${command}\nwas to fail`)),
    (error: unknown) => error as { stdout: string; stderr: string },
  );
}
