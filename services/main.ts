#!/usr/bin/env -S node --max-semi-space-size=64
/** `npx txmesh`: runs a server; see server.ts. */

import { runServer } from './server.ts';

process.exitCode = await runServer(process.argv.slice(2), process.env);
