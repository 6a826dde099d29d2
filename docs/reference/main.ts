/** `npm run reference` writes the tables of docs/settings.md and docs/limits.md from the code that they are about. */

import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { PAGES } from './pages.ts';

const files = Object.keys(PAGES).join(' and ');
const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h' } } });
if (values.help === true) console.log(`npm run reference: writes the tables of ${files} from the code that they are about`);
else {
  for (const [file, write] of Object.entries(PAGES)) {
    const path = resolve(import.meta.dirname, '../..', file);
    writeFileSync(path, write(readFileSync(path, 'utf8')));
  }
  console.log(`txmesh: wrote the tables of ${files}`);
}
