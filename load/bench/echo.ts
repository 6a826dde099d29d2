/** Answers every frame of a stream, for the limit of raw messages; see limits.ts. */

import { serveEcho } from './limits.ts';

await serveEcho();
