/** A process that lmdb.test.ts starts, and often kills: `node lmdb-test-process.ts <mode> <folder>`. */
import { writeSync } from 'node:fs';
import { systemClock } from '../../clock.ts';
import { StoreError } from '../errors.ts';
import { openLmdbSnapshot } from '../lmdb-snapshot.ts';
import { openLmdbStore } from '../lmdb.ts';
import { prefixRange, type Store } from '../store.ts';

const STDOUT = 1;
const CONCURRENT_WRITES = 16;

function tell(line: string): void {
  writeSync(STDOUT, `${line}\n`);
}

/** Writes for ever, three keys at a time; tells a number once it and all before it are written. */
async function writeForEver(store: Store): Promise<void> {
  let next = 0;
  let told = -1;
  const done = new Set<number>();
  const writer = async (): Promise<void> => {
    for (;;) {
      const number = next++;
      const key = `k/${String(number).padStart(8, '0')}`;
      await store.write({ puts: ['a', 'b', 'c'].map((end) => ({ key: `${key}/${end}`, value: Buffer.alloc(500, number) })) });
      done.add(number);
      while (done.delete(told + 1)) told++;
      tell(String(told));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_WRITES }, writer));
}

/** Writes until there is no room, eight batches at a time. */
async function fill(store: Store): Promise<void> {
  const refused: number[] = [];
  const problems = new Set<string>();
  for (let number = 0; refused.length === 0; number += 8) {
    await Promise.all(Array.from({ length: 8 }, async (_, index) => {
      const at = number + index;
      try {
        await store.write({ puts: ['a', 'b'].map((end) => ({ key: `k/${at}/${end}`, value: Buffer.alloc(100_000, 1) })) });
      } catch (error) {
        refused.push(at);
        problems.add(error instanceof StoreError ? error.name : String(error));
      }
    }));
  }
  for (const problem of problems) tell(problem);
  let left = 0;
  for (const number of refused) left += (await store.scan(prefixRange(`k/${number}/`), { limit: 9 })).entries.length;
  tell(left === 0 ? 'refused batches left nothing' : `${left} records of refused batches`);
  await store.write({ puts: [{ key: 'small', value: Buffer.from('1') }] });
  tell('small write ok');
  await store.close();
}

function stay(): void {
  tell('open');
  setInterval(() => undefined, 60_000);
}

const [mode, folder] = process.argv.slice(2);
if (mode === 'read') {
  // As a backup does, beside whoever has the folder.
  openLmdbSnapshot(folder!);
  stay();
} else {
  const store = await openLmdbStore(folder!, systemClock);
  if (mode === 'write') await writeForEver(store);
  else if (mode === 'fill') await fill(store);
  else stay();
}
