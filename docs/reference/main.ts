/** `npm run reference` writes the tables of docs/settings.md and docs/limits.md from the code that they are about. */

import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { readFlags } from '../../deploy/local/flags.ts';
import { PAGES } from './pages.ts';

const files = Object.keys(PAGES).join(' and ');
readFlags(`npm run reference: writes the tables of ${files} from the code that they are about`, {});
for (const [file, write] of Object.entries(PAGES)) {
  const path = resolve(import.meta.dirname, '../..', file);
  writeFileSync(path, write(readFileSync(path, 'utf8')));
}
console.log(`txmesh: wrote the tables of ${files}`);
