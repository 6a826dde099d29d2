/** Preloaded into a server: notes when anything of OpenTelemetry beyond its API is loaded. */

import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

registerHooks({
  resolve(specifier, context, next) {
    if (specifier.startsWith('@opentelemetry/') && specifier !== '@opentelemetry/api') appendFileSync(process.env['NOTE_LOADS_IN']!, `${specifier}\n`);
    return next(specifier, context);
  },
});
