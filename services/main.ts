#!/usr/bin/env -S node --max-semi-space-size=64
/** `txmesh`: runs a server, see server.ts; or one of the commands beside it, see commands.ts and policy-command.ts. */

/** The SDK runs on older ones, so that package.json can't demand it. */
const LEAST_NODE = 26;

if (Number.parseInt(process.versions.node, 10) < LEAST_NODE) {
  console.error(`txmesh: a server needs Node ${LEAST_NODE} or newer, and this is ${process.version}`);
  process.exitCode = 1;
} else {
  // What it imports does not load on an older Node.
  const { isCommand } = await import('./settings/commands.ts');
  const [command, ...args] = process.argv.slice(2);
  if (isCommand(command)) {
    const { runCommand } = await import('./commands.ts');
    process.exitCode = await runCommand(command, args, process.env);
  } else if (command === 'policy') {
    const { runPolicyCommand } = await import('./policy-command.ts');
    process.exitCode = runPolicyCommand(args);
  } else {
    const { runServer } = await import('./server.ts');
    process.exitCode = await runServer(process.argv.slice(2), process.env);
  }
}
