/** What must exist before clients begin: made at every partition, however often that has to be tried. */

import type { AnyTypes } from './commands.ts';
import { EPOCH_MS } from './machine.ts';
import type { Ask } from './rest.ts';

export interface Creation {
  readonly service: string;
  readonly partition: number;
  readonly operation: AnyTypes['operation'];
}

const TRIES = 100;
const RETRY_MS = 200;

/** @param sleep lets the mesh go on meanwhile */
export async function setUp(creations: readonly Creation[], ask: Ask, sleep: (forMs: number) => Promise<void>): Promise<void> {
  for (const [index, { service, partition, operation }] of creations.entries()) {
    const transactionId = idOf(index);
    for (let tried = 1; ; tried++) {
      const reply = await ask(service, partition, (origin) => ({
        type: 'local',
        origin,
        transactionId,
        fingerprint: '',
        operations: [operation],
        firstTryMs: EPOCH_MS,
        deadlineMs: Infinity,
      }));
      if (reply?.type === 'done') break;
      if (tried === TRIES) throw new Error(`${service}/${partition}: can't be set up: ${JSON.stringify(reply)}`);
      await sleep(RETRY_MS);
    }
  }
}

/** UUIDv7 of the time at which the world begins. */
function idOf(index: number): string {
  const time = EPOCH_MS.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${index.toString(16).padStart(12, '0')}`;
}
