// Waits until somebody takes connections at every address: node await.mjs SECONDS HOST:PORT …
// A Service of Kubernetes takes them when a pod behind it is ready.
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const ATTEMPT_MS = 2_000;
const PAUSE_MS = 500;

/** Undefined where a connection comes about, else why not. */
async function refusal(address) {
  const [, host, port] = /^(.+):(\d+)$/.exec(address) ?? [];
  if (host === undefined) throw new Error(`${address} is not like host:port`);
  const socket = connect({ host, port: Number(port) });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(ATTEMPT_MS) });
    return undefined;
  } catch (error) {
    return error.name === 'AbortError' ? 'no answer' : error.message;
  } finally {
    socket.destroy();
  }
}

const [seconds, ...addresses] = process.argv.slice(2);
const lastMoment = performance.now() + Number(seconds) * 1000;
for (const address of addresses) {
  for (;;) {
    const reason = await refusal(address);
    if (reason === undefined) break;
    if (performance.now() >= lastMoment) {
      console.error(`${address} took no connection within ${seconds} s: ${reason}`);
      process.exit(1);
    }
    await pause(PAUSE_MS);
  }
  console.log(`${address} takes connections`);
}
