// Keeps the newest snapshots of a folder: node prune.mjs FOLDER COUNT
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const [folder, count] = process.argv.slice(2);
const snapshots = readdirSync(folder)
  .filter((name) => /\.db(\.part)?$/.test(name))
  .map((name) => ({ path: join(folder, name), timeMs: statSync(join(folder, name)).mtimeMs }))
  .sort((a, b) => b.timeMs - a.timeMs);
for (const { path } of snapshots.slice(Number(count))) rmSync(path);
console.log(`${Math.min(snapshots.length, Number(count))} snapshots kept, the newest is ${snapshots[0]?.path ?? 'none'}`);
