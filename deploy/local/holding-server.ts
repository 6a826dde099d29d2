/**
 * A server that loses what the coordinator says after it has decided, as a network may: the tour kills
 * it in that state, between a durable decision and phase 2.
 */

import { runServer } from '../../services/server.ts';

process.exitCode = await runServer(process.argv.slice(2), process.env, {
  faults: { loses: (lost) => lost.to === 'participant' && (lost.message.type === 'commit' || lost.message.type === 'abort') },
});
