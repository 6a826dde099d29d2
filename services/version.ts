/** The version of package.json, wherever the code runs from. */

import { readFileSync } from 'node:fs';

function read(): string {
  // Two levels up from services/ and one from dist/.
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const found = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as { name?: string; version: string };
      if (found.name === 'txmesh') return found.version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error('package.json of txmesh is missing beside its code: install the package again');
}

export const version = read();
