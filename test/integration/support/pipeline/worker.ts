/**
 * A process that runs both stages of the pipeline until it is told to end.
 *
 *   node worker.ts CONCURRENCY ADDRESS [ADDRESS …]
 */

import { connect } from 'txmesh/client';
import { runStages } from './stages.ts';

const [concurrency = '', ...addresses] = process.argv.slice(2);
const ends = new AbortController();
process.once('SIGTERM', () => ends.abort());
const orphaned = (): never => process.exit(1);
process.once('disconnect', orphaned);
const mesh = connect({ addresses, timeoutMs: 20_000 });
const onError = (error: unknown): void => void process.send!({ error: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
process.send!({ started: true });
await runStages(mesh, Number(concurrency), ends.signal, onError);
mesh.close();
process.off('disconnect', orphaned);
process.disconnect!();
