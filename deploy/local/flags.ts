/** The flags of the programs that npm scripts run: --help is answered and nothing else done, a mistake is told in one line. */

import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';

/** Prints the usage and ends with 0, if that is all that is asked for. */
export function answerHelp(usage: string, args: readonly string[] = process.argv.slice(2)): void {
  if (!args.includes('--help') && !args.includes('-h')) return;
  console.log(usage.trim());
  process.exit(0);
}

/**
 * The program's flags. Ends it for --help (0), and for a flag that there is not or that lacks its value (2).
 * @param usage how it is called, with every flag
 */
export function readFlags<const Options extends ParseArgsOptionsConfig>(usage: string, options: Options) {
  answerHelp(usage);
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return endWrong(error instanceof Error ? error.message : String(error), usage);
  }
}

/** Ends the program with 2: it was called wrongly. */
export function endWrong(mistake: string, usage: string): never {
  console.error(`${mistake}\n\n${usage.trim()}`);
  process.exit(2);
}
